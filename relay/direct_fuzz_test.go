package relay

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// oddities are well-formed and malformed requests of forms that nobody sends.
func oddities(context protowire.Number) [][]byte {
	field := func(n protowire.Number, parts ...any) []byte {
		var b []byte
		for _, p := range parts {
			switch p := p.(type) {
			case string:
				b = append(b, p...)
			case []byte:
				b = append(b, p...)
			case int:
				b = append(b, byte(p))
			}
		}
		return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), b)
	}
	key := field(2, "plain")
	if context == 2 {
		key = nil
	}
	text := func(s string) []byte { return field(2, field(3, s)) }
	attribute := func(name string, value []byte) []byte {
		return field(context, field(2, field(1, slices.Concat(field(1, name), value))))
	}
	canada := attribute("country", text("Canada"))
	deep := []byte{1 << 3, 0}
	for range 2 * maxDepth {
		deep = field(6, field(1, deep))
	}
	many := []byte{}
	for i := range 2 * maxFields {
		many = append(many, field(1, field(1, fmt.Sprintf("a%d", i)), text("x"))...)
	}
	many = append(many, field(1, field(1, "country"), text("Canada"))...)
	all := [][]byte{
		canada,
		slices.Concat(canada, canada), // merged
		slices.Concat(canada, attribute("country", text("Peru"))), // the last counts
		field(context, field(2, slices.Concat(field(1, slices.Concat(field(1, "country"), text("Peru"))), field(1, slices.Concat(field(1, "country"), text("Canada")))))),
		field(context, field(2, field(1, slices.Concat(text("Canada"), field(1, "country"))))), // value first
		field(context, field(2, field(1, field(1, "country")))),                                // no value
		field(context, field(2, field(1, text("Canada")))),                                     // no name
		attribute("country", field(2, slices.Concat(field(3, "Peru"), field(3, "Canada")))),    // two kinds
		attribute("country", slices.Concat(text("Peru"), text("Canada"))),
		attribute("country", field(2)), attribute("country", field(2, 1<<3, 0)), attribute("country", field(2, 4<<3, 2)),
		attribute("country", field(2, field(6, field(1, field(3, "Canada"))))), // a list
		attribute("country", field(2, field(5, field(1, field(1, "a"), text("x"))))),
		attribute("a", field(2, field(5, field(1, field(1, "b"), text("y")), field(1, field(1, "b"), text("x"))))), // an object's member twice
		attribute("country", field(2, deep)), field(context, field(2, many)),
		attribute("country\xff", text("Canada")), attribute("country", text("Canada\xff")), field(context, field(1, 0xff)), field(1, 0xff),
		attribute("country", field(2, 2<<3|1, 0, 0)), attribute("country", field(2, 9<<3, 0)), attribute("country", field(2, 3<<3, 0)),
		field(9, 1, 2, 3),
		{99 << 1},
		{0x98, 0x06, 0x01},
		{0x9b, 0x06, 0x9c, 0x06},
		{0x9b, 0x06},
		{0},
		{7},
		{5 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		{5 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2},
		{0x82, 0x00, 0x01, 'e'},
		{1<<3 | 2, 0x81, 0x00, 'e'},
		{6<<3 | 2, 2, 1 << 3, 1, 6<<3 | 2, 0},
		{6<<3 | 2, 3, 1 << 3, 0x80, 0x20, 6<<3 | 2, 2, 2 << 3, 1},
		{6<<3 | 2, 2, 3 << 3, 1},
		{7 << 3, 0xff, 0xff, 0xff, 0xff, 0x1f},
	}
	for i := range all {
		all[i] = slices.Concat(key, all[i])
	}
	for i := range canada { // truncated anywhere
		all = append(all, slices.Concat(key, canada[:i]))
	}
	return all
}

func TestDirectOddities(t *testing.T) {
	t.Parallel()
	s := directService(t)
	for _, data := range oddities(3) {
		compareEvaluate(t, s, data)
	}
	for _, data := range oddities(2) {
		compareEvaluateAll(t, s, data)
	}
}

// FuzzEvaluateRequest: whatever bytes come, the direct way reads and answers them as the
// generated code does.
func FuzzEvaluateRequest(f *testing.F) {
	s := directService(f)
	for _, data := range oddities(3) {
		f.Add(data)
	}
	for _, flag := range s.environments[0].replica.Snapshot().Eval().Flags() {
		f.Add(marshal(f, &evaluationv1.EvaluateRequest{
			FlagKey: flag.Key(), Context: canada(f), ExpectedType: flag.Type(), MaxAge: durationpb.New(time.Hour),
		}))
	}
	f.Fuzz(func(t *testing.T, data []byte) { compareEvaluate(t, s, data) })
}

// FuzzEvaluateAllRequest is FuzzEvaluateRequest for the other request.
func FuzzEvaluateAllRequest(f *testing.F) {
	s := directService(f)
	for _, data := range oddities(2) {
		f.Add(data)
	}
	f.Add(marshal(f, &evaluationv1.EvaluateAllRequest{FlagKeys: []string{"plain", "large", "nobody"}, Context: canada(f)}))
	f.Fuzz(func(t *testing.T, data []byte) { compareEvaluateAll(t, s, data) })
}

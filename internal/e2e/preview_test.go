package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/eval"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// previewFlag serves "on" to a share, in percent, and "vip" to a segment.
func previewFlag(key string, percent uint32) *flagv1.Flag {
	value := func(name string) *flagv1.Variant {
		return &flagv1.Variant{Name: name, Value: structpb.NewStringValue(name)}
	}
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_STRING, Enabled: true, OffVariant: "off",
		Variants: []*flagv1.Variant{value("on"), value("off"), value("vip")},
		Rules: []*flagv1.Rule{{
			Id: "vips", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "vip"}},
			Clauses: []*flagv1.Clause{{Operator: flagv1.Operator_OPERATOR_IN_SEGMENT, Values: []*structpb.Value{structpb.NewStringValue("vips")}}},
		}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
			Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: percent}, {Variant: "off", Weight: 100 - percent}},
		}}},
	}
}

// needing is a flag that is off where checkout is not on.
func needing() *flagv1.Flag {
	f := previewFlag("needing", 100)
	f.Rules = nil
	f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "checkout", Variants: []string{"on"}}}
	return f
}

// vips is a segment by one attribute.
func vips(plan string) *flagv1.Segment {
	return &flagv1.Segment{Key: "vips", Rules: []*flagv1.SegmentRule{{Clauses: []*flagv1.Clause{{
		Attribute: "plan", Operator: flagv1.Operator_OPERATOR_IN, Values: []*structpb.Value{structpb.NewStringValue(plan)},
	}}}}}
}

// The words of contexts that are looked for where they must not be.
const (
	secretName  = "mothers-maiden-name"
	secretValue = "Featherstonehaugh"
)

// previewSubject is somebody; every fourth has the plan gold.
func previewSubject(i int) (key string, attributes map[string]any) {
	plan := "bronze"
	if i%4 == 0 {
		plan = "gold"
	}
	return fmt.Sprintf("subject-%d@example.com", i), map[string]any{"plan": plan, secretName: secretValue}
}

// previewed evaluates here what the relays are asked.
type previewed struct{ before, after *eval.Environment }

func compiled(t *testing.T, segment *flagv1.Segment, flags ...*flagv1.Flag) *eval.Environment {
	t.Helper()
	var changes eval.Changes
	for _, f := range flags {
		c, err := eval.Compile(f, 1)
		if err != nil {
			t.Fatal(err)
		}
		changes.Flags = append(changes.Flags, c)
	}
	if segment != nil {
		s, err := eval.CompileSegment(segment, 1)
		if err != nil {
			t.Fatal(err)
		}
		changes.Segments = append(changes.Segments, s)
	}
	var none *eval.Environment
	return none.With(changes)
}

// changing counts for how many of the first subjects a flag changes.
func (p previewed) changing(flag string, subjects int) (n int32) {
	for i := range subjects {
		key, attributes := previewSubject(i)
		c := &eval.Context{TargetingKey: key, Attributes: eval.Map(attributes)}
		before, after := p.before.Evaluate(flag, c), p.after.Evaluate(flag, c)
		name := func(r eval.Result) string {
			if r.Variant == nil {
				return string(r.ErrorCode)
			}
			return r.Variant.Name
		}
		if name(before) != name(after) {
			n++
		}
	}
	return n
}

// answerAll has a relay answer subjects from one to another, over all protocols in turn.
func answerAll(t *testing.T, r *bed.Relay, flag string, from, to int) {
	t.Helper()
	conn := bed.Dial(t, r.GRPC)
	native, flagd := evaluationv1.NewEvaluationServiceClient(conn), flagdv2.NewServiceClient(conn)
	stream, err := native.EvaluateStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		key, attributes := previewSubject(i)
		given, err := structpb.NewStruct(attributes)
		if err != nil {
			t.Fatal(err)
		}
		request := &evaluationv1.EvaluateRequest{FlagKey: flag, Context: &evaluationv1.EvaluationContext{TargetingKey: key, Attributes: given}}
		switch i % 5 {
		case 0:
			_, err = native.Evaluate(t.Context(), request)
		case 1:
			if err = stream.Send(&evaluationv1.EvaluateStreamRequest{Id: uint64(i), Request: request}); err == nil {
				_, err = stream.Recv()
			}
		case 2:
			_, err = native.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{Context: request.GetContext(), FlagKeys: []string{flag}})
		case 3:
			given.Fields["targetingKey"] = structpb.NewStringValue(key)
			_, err = flagd.ResolveString(t.Context(), &flagdv2.ResolveStringRequest{FlagKey: flag, Context: given})
		case 4:
			err = ofrep(t, r, flag, key, given)
		}
		if err != nil {
			t.Fatalf("subject %d: %v", i, err)
		}
	}
}

func ofrep(t *testing.T, r *bed.Relay, flag, key string, given *structpb.Struct) error {
	t.Helper()
	given.Fields["targetingKey"] = structpb.NewStringValue(key)
	body, err := given.MarshalJSON()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.HTTP+"/ofrep/v1/evaluate/flags/"+flag,
		strings.NewReader(`{"context":`+string(body)+`}`))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}

// wiretap passes connections on, and writes down what it passes.
type wiretap struct {
	address string
	mu      sync.Mutex
	heard   bytes.Buffer
}

func newWiretap(t *testing.T, target string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{address: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target)
			if err != nil {
				from.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(way[1], io.TeeReader(way[0], w))
					from.Close()
					to.Close()
				}()
			}
		}
	}()
	return w
}

// Write implements io.Writer.
func (w *wiretap) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard.Write(b)
}

func (w *wiretap) has(word string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Contains(w.heard.Bytes(), []byte(word))
}

// TestPreview: two servers, and relays below both and behind each other, tell exactly which of
// their subjects a change would give something else, whichever server is asked; and nothing of
// anybody's context leaves the relays.
func TestPreview(t *testing.T) {
	etcd, err := etcdtest.Start(t.Context(), t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Kill()
	var servers []*bed.Server
	var asked []controlv1.FlagServiceClient
	for range 2 {
		s := bed.NewServer(t, bin, "--data-dir", t.TempDir(), "--etcd-endpoints", etcd.Endpoints()[0], "--log-level", "debug")
		s.Start()
		servers = append(servers, s)
		asked = append(asked, controlv1.NewFlagServiceClient(bed.Dial(t, s.GRPC)))
	}
	before := []*flagv1.Flag{previewFlag("checkout", 10), needing()}
	if _, err := asked[0].Apply(t.Context(), &controlv1.ApplyRequest{
		Environment: "production", Reason: "test", Segments: []*controlv1.SegmentWrite{{Segment: vips("gold")}},
		Flags: []*controlv1.FlagWrite{{Flag: before[0]}, {Flag: before[1]}},
	}); err != nil {
		t.Fatal(err)
	}
	tap := newWiretap(t, servers[0].GRPC)
	first := newNamedRelay(t, "first", tap.address)
	second := newNamedRelay(t, "second", first.GRPC)
	third := newNamedRelay(t, "third", servers[1].GRPC)
	for _, r := range []*bed.Relay{first, second, third} {
		r.AddArgs("--log-level", "debug")
		r.Start()
	}
	for _, s := range servers {
		bed.Eventually(t, "each server knows all relays", func() error { return lists(t, s, "first", "second", "third") })
	}
	const subjects = 200
	answerAll(t, first, "checkout", 0, 120)
	answerAll(t, second, "checkout", 80, 160)
	answerAll(t, third, "checkout", 120, subjects)
	answerAll(t, third, "needing", 0, 50)

	preview := func(i int, r *controlv1.PreviewChangeRequest) *controlv1.PreviewChangeResponse {
		t.Helper()
		r.Environment = "production"
		got, err := asked[i].PreviewChange(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	now := compiled(t, vips("gold"), before...)
	wider := previewFlag("checkout", 60)
	for name, c := range map[string]struct {
		request *controlv1.PreviewChangeRequest
		after   *eval.Environment
		named   []string
	}{
		"percentage": {
			request: &controlv1.PreviewChangeRequest{Flags: []*controlv1.FlagWrite{{Flag: wider}}},
			after:   compiled(t, vips("gold"), wider, before[1]), named: []string{"checkout"},
		},
		"segment": {
			request: &controlv1.PreviewChangeRequest{Segments: []*controlv1.SegmentWrite{{Segment: vips("bronze")}}},
			after:   compiled(t, vips("bronze"), before...),
		},
		"rule": {
			request: &controlv1.PreviewChangeRequest{Flags: []*controlv1.FlagWrite{{Flag: unruled(before[0])}}},
			after:   compiled(t, vips("gold"), unruled(before[0]), before[1]), named: []string{"checkout"},
		},
		"delete": {
			request: &controlv1.PreviewChangeRequest{Deletes: []*controlv1.ResourceDelete{{
				Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "checkout",
			}}},
			after: compiled(t, vips("gold"), before[1]), named: []string{"checkout"},
		},
	} {
		for i := range servers {
			got := preview(i, c.request)
			if got.GetRelays() != 3 || got.GetRelaysTotal() != 3 || len(got.GetFlags()) != 2 || got.GetSince() == nil {
				t.Fatalf("%s: %v", name, got)
			}
			for _, f := range got.GetFlags() {
				seen := map[string]int{"checkout": subjects, "needing": 50}[f.GetFlagKey()]
				want := previewed{now, c.after}.changing(f.GetFlagKey(), seen)
				if !f.GetComplete() || f.GetSampled() != int32(seen) || f.GetChanging() != want || f.GetRelays() != 3 ||
					f.GetDependant() == slices.Contains(c.named, f.GetFlagKey()) {
					t.Errorf("%s, server %d: %v, want %d of %d", name, i, f, want, seen)
				}
			}
		}
	}
	if same := preview(0, &controlv1.PreviewChangeRequest{Flags: []*controlv1.FlagWrite{{Flag: before[0]}}}); len(same.GetFlags()) != 0 {
		t.Errorf("what is so already: %v", same)
	}

	t.Run("told", func(t *testing.T) {
		toldByCommand(t, servers[1].GRPC, previewed{now, compiled(t, vips("gold"), wider, before[1])})
	})

	// A relay that does not answer is waited for in vain, one without samples not at all.
	second.Freeze()
	if got := preview(1, &controlv1.PreviewChangeRequest{Flags: []*controlv1.FlagWrite{{Flag: wider}}}); got.GetRelays() != 2 || got.GetRelaysTotal() != 3 {
		t.Errorf("with a relay that hangs: %v", got)
	}
	second.Thaw()
	third.Kill()
	third.AddArgs("--preview-memory", "0")
	third.Start()
	bed.Eventually(t, "two of three tell, and nothing of the third's", func() error {
		got := preview(0, &controlv1.PreviewChangeRequest{Flags: []*controlv1.FlagWrite{{Flag: wider}}})
		if got.GetRelays() != 2 || got.GetRelaysTotal() != 3 || got.GetFlags()[0].GetSampled() != 160 || got.GetFlags()[1].GetSampled() != 0 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	servers[1].Kill()
	bed.Eventually(t, "a server is missed", func() error {
		got := preview(0, &controlv1.PreviewChangeRequest{Flags: []*controlv1.FlagWrite{{Flag: wider}}})
		if got.GetRelays() != 2 || len(got.GetUnreachableServers()) != 1 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})

	for _, word := range []string{secretName, secretValue, "subject-"} {
		if tap.has(word) {
			t.Errorf("%q left the relay", word)
		}
		for _, p := range []*bed.Process{first.Process, second.Process, third.Process, servers[0].Process, servers[1].Process} {
			if strings.Contains(p.Log(), word) {
				t.Errorf("%s logs %q", p.Name(), word)
			}
		}
	}
	if !tap.has("checkout") { // in what was asked
		t.Error("the wiretap has heard nothing")
	}
}

func unruled(f *flagv1.Flag) *flagv1.Flag {
	f = proto.CloneOf(f)
	f.Rules = nil
	return f
}

// toldByCommand looks at what the operator's tool prints.
func toldByCommand(t *testing.T, server string, wider previewed) {
	file := filepath.Join(t.TempDir(), "checkout.yaml")
	out, code := command(t, server, "export", "-e", "production")
	if code != 0 || os.WriteFile(file, []byte(strings.Replace(out, "on: 10", "on: 60", 1)), 0o600) != nil {
		t.Fatalf("export: %s", out)
	}
	want := fmt.Sprintf("checkout: %d of 200 subjects would change: off -> on ", wider.changing("checkout", 200))
	for _, args := range [][]string{
		{"flag", "set", "checkout", "--rollout", "on=60%,off=40%", "-e", "production", "--dry-run"},
		{"flag", "preview", "checkout", "--rollout", "on=60%,off=40%", "-e", "production"},
	} {
		out, code := command(t, server, args...)
		if code != 0 || !strings.Contains(out, want) || !strings.Contains(out, "as 3 of 3 relays told") || !strings.Contains(out, "needing (depends on it): ") {
			t.Errorf("%v: %s\nwant %q", args, out, want)
		}
	}
	if out, code := command(t, server, "flag", "preview", "checkout", "--rollout", "on=60%,off=40%", "-e", "production", "-o", "json"); code != 0 ||
		!strings.Contains(out, `"relaysTotal": 3`) {
		t.Errorf("%s", out)
	}
}

package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// definitionOf reads what matters of a flagd definition: the keys of its flags, and its
// metadata.
func definitionOf(t *testing.T, set string) (keys []string, metadata map[string]any) {
	t.Helper()
	var d struct {
		Flags    map[string]any
		Metadata map[string]any
	}
	if err := json.Unmarshal([]byte(set), &d); err != nil {
		t.Fatalf("%v in %s", err, set)
	}
	return slices.Sorted(maps.Keys(d.Flags)), d.Metadata
}

// matchFlag uses a regular expression, which flagd does not have.
func matchFlag(key string) *flagv1.Flag {
	f := boolFlag(key, "Canada")
	f.Rules[0].Clauses[0].Operator = flagv1.Operator_OPERATOR_MATCHES
	return f
}

// TestFlagdSync is the life of a sync stream, over the port where flagd's providers look.
func TestFlagdSync(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	p.put(staging, boolFlag("s"))
	p.put(production, boolFlag("a"), segmentFlag("b", "team"), &flagv1.Segment{Key: "team", Included: []string{"user-1"}})
	upstream, _ := p.serve()
	o := options(upstream, production, staging)
	o.Region = "eu-west"
	r, stop := startReady(t, o, p.revision)
	c := flagdsyncv1.NewFlagSyncServiceClient(dial(t, r.FlagdSyncAddr()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := c.SyncFlags(ctx, &flagdsyncv1.SyncFlagsRequest{ProviderId: "test"})
	if err != nil {
		t.Fatal(err)
	}
	receive := func() (set string, place *structpb.Struct) {
		t.Helper()
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return m.GetFlagConfiguration(), m.GetSyncContext()
	}
	set, place := receive()
	if keys, metadata := definitionOf(t, set); !slices.Equal(keys, []string{"a", "b"}) || metadata[flagSetID] != production {
		t.Errorf("flags %v, metadata %v", keys, metadata)
	}
	if got := fmt.Sprint(place.AsMap()); got != "map[$tidegate:map[region:eu-west]]" {
		t.Errorf("sync context %s", got)
	}
	p.put(staging, boolFlag("elsewhere"))
	p.put(production, boolFlag("c"))
	if set, _ = receive(); !strings.Contains(set, `"c"`) {
		t.Errorf("after a change: %s", set)
	}
	p.deleteFlag(production, "a")
	set, _ = receive()
	if keys, _ := definitionOf(t, set); !slices.Equal(keys, []string{"b", "c"}) {
		t.Errorf("after a deletion: %v", keys)
	}
	all, err := c.FetchAllFlags(ctx, &flagdsyncv1.FetchAllFlagsRequest{})
	if err != nil || all.GetFlagConfiguration() != set {
		t.Errorf("fetched %v, %v; want %s", all, err, set)
	}
	m, err := c.GetMetadata(ctx, &flagdsyncv1.GetMetadataRequest{}) //nolint:staticcheck // providers still call it
	if err != nil || m.GetMetadata().AsMap()["$tidegate"] == nil {
		t.Errorf("metadata %v, %v", m, err)
	}
	stop()
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream did not end with the relay")
	}
}

func TestFlagdSyncSelector(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	p.put(staging, boolFlag("s"))
	p.put(production, boolFlag("p"))
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production, staging), p.revision)
	c := flagdsyncv1.NewFlagSyncServiceClient(dial(t, r.GRPCAddr()))
	for _, tc := range []struct {
		name, header, field string
		want                []string
		code                codes.Code
	}{
		{"none: the default", "", "", []string{"p"}, codes.OK},
		{"the request's field", "", "flagSetId=staging", []string{"s"}, codes.OK},
		{"the header beats the field", "flagSetId=staging", "flagSetId=production", []string{"s"}, codes.OK},
		{"a bare header", staging, "", []string{"s"}, codes.OK},
		{"bad field", "", "x=y", nil, codes.InvalidArgument},
		{"bad header", "x=y", "", nil, codes.InvalidArgument},
		{"unknown", "dev", "", nil, codes.NotFound},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if tc.header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, selectorHeader, tc.header)
		}
		all, err := c.FetchAllFlags(ctx, &flagdsyncv1.FetchAllFlagsRequest{Selector: tc.field}) //nolint:staticcheck // providers still send it
		requireSet(t, tc.name+", fetched", all.GetFlagConfiguration(), err, tc.want, tc.code)
		stream, err := c.SyncFlags(ctx, &flagdsyncv1.SyncFlagsRequest{Selector: tc.field}) //nolint:staticcheck // providers still send it
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		requireSet(t, tc.name+", streamed", m.GetFlagConfiguration(), err, tc.want, tc.code)
		cancel()
	}
}

func requireSet(t *testing.T, name, set string, err error, want []string, code codes.Code) {
	t.Helper()
	if code != codes.OK {
		requireStatus(t, err, code, "")
		return
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if keys, _ := definitionOf(t, set); !slices.Equal(keys, want) {
		t.Errorf("%s: %v, want %v", name, keys, want)
	}
}

// A relay that does not know where it is says nothing about it.
func TestFlagdSyncWithoutRegion(t *testing.T) {
	t.Parallel()
	s := &flagdSyncService{evaluation: service(newPublisher(t, production))}
	if s.evaluation.syncContext() != nil {
		t.Error("there is a sync context")
	}
	if m, err := s.GetMetadata(t.Context(), nil); err != nil || m.GetMetadata() == nil || len(m.GetMetadata().GetFields()) != 0 {
		t.Errorf("metadata %v, %v", m, err)
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// taken returns what was written since the last time.
func (s *syncBuffer) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

// One definition a state, for all who ask; what it leaves out is logged when that
// changes, and counted.
func TestFlagdExport(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, "elsewhere")
	p.put(production, boolFlag("a"), matchFlag("regular"))
	env := service(p).environments[0]
	lines := &syncBuffer{}
	env.flagd.logger = zerolog.New(lines)
	now := func() string {
		set, ok := env.flagd.definition()
		if !ok {
			t.Error("there is no definition")
		}
		return set
	}
	first := now()
	if keys, _ := definitionOf(t, first); !slices.Equal(keys, []string{"a"}) || env.flagd.omissions() != 1 {
		t.Errorf("flags %v, %d omitted", keys, env.flagd.omissions())
	}
	if text := lines.taken(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"regular":"`) {
		t.Errorf("log: %s", text)
	}
	p.put("elsewhere", boolFlag("e")) // another revision, the same state
	if again := now(); again != first || lines.taken() != "" {
		t.Error("the same state was exported again")
	}
	kept := env.flagd.flags["a"].definition
	p.put(production, boolFlag("b"))
	if keys, _ := definitionOf(t, now()); !slices.Equal(keys, []string{"a", "b"}) || lines.taken() != "" {
		t.Errorf("flags %v", keys)
	}
	if env.flagd.flags["a"].definition != kept {
		t.Error("a flag that did not change was decoded again")
	}
	// Of one that comes broken, the version in force is exported; one that never was usable
	// is left out.
	good := env.flagd.flags["b"].definition
	broken, never := boolFlag("b"), boolFlag("never")
	broken.Variants, never.Variants = nil, nil
	p.put(production, broken, never)
	if keys, _ := definitionOf(t, now()); !slices.Equal(keys, []string{"a", "b"}) || env.flagd.omissions() != 2 {
		t.Errorf("with flags that cannot be used: %v", keys)
	}
	if env.flagd.flags["b"].definition != good {
		t.Error("another version than the one in force is exported")
	}
	if text := lines.taken(); !strings.Contains(text, `"never":"its definition cannot be used`) || strings.Contains(text, `"b":`) {
		t.Errorf("log: %s", text)
	}
	p.put(production, boolFlag("b"), boolFlag("never"), boolFlag("regular"))
	if keys, _ := definitionOf(t, now()); !slices.Equal(keys, []string{"a", "b", "never", "regular"}) || env.flagd.omissions() != 0 {
		t.Errorf("at last: %v", keys)
	}
	if text := lines.taken(); !strings.Contains(text, "all flags again") {
		t.Errorf("log: %s", text)
	}
	last := now()
	env.flagd.release()
	if env.flagd.flags != nil || now() != last || lines.taken() != "" {
		t.Error("after a release it is another definition, or nothing was released")
	}
}

// Callers that read slowly get the newest definition, not each.
func TestFlagdSyncSlow(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	c := flagdsyncv1.NewFlagSyncServiceClient(dial(t, r.FlagdSyncAddr()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := c.SyncFlags(ctx, &flagdsyncv1.SyncFlagsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	const changes = 300
	large := strings.Repeat("x", 8<<10) // so that the transport holds some dozens
	for i := range changes {
		f := valueFlag(t, "f", flagv1.ValueType_VALUE_TYPE_STRING, fmt.Sprint(large, i))
		p.put(production, f)
	}
	waitRevision(t, r, p.revision)
	last, received := fmt.Sprint(large, changes-1), 0
	for done := false; !done; received++ {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		done = strings.Contains(m.GetFlagConfiguration(), last)
	}
	if received >= changes {
		t.Errorf("%d definitions for %d changes: nothing was left out", received, changes)
	}
}

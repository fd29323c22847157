package controlplane

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	production = "production"
	staging    = "staging"
	// patience bounds waits that end at once where all is well.
	patience = 30 * time.Second
)

var alice = Caller{Actor: "alice", Peer: "127.0.0.1:4711"}

// fixture is an authority that runs on a store.
type fixture struct {
	*Authority
	t   *testing.T
	ctx context.Context // the test's own
}

// newFixture runs an authority on a memory store of its own.
func newFixture(t *testing.T) (*fixture, *memstore.Store) {
	t.Helper()
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	return runOn(t, s), s
}

// runOn runs an authority on the store until the test ends.
func runOn(t *testing.T, s store.Store) *fixture {
	t.Helper()
	f := openOn(t, s)
	t.Cleanup(f.start())
	return f
}

// start runs the authority until the returned function is called.
func (f *fixture) start() (stop func()) {
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	}
}

// openOn opens an authority without running it.
func openOn(t *testing.T, s store.Store) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*patience)
	t.Cleanup(cancel)
	a, err := Open(ctx, Options{
		Store:        s,
		Replicas:     replica.NewSet(replica.Options{}),
		Environments: []string{production, staging},
		Logger:       zerolog.Nop(),
		Now:          func() time.Time { return time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return &fixture{Authority: a, t: t, ctx: ctx}
}

// boolFlag is a flag that serves 'on' or, while it is disabled, 'off'.
func boolFlag(key string, needs ...string) *flagv1.Flag {
	f := &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)},
			{Name: "off", Value: structpb.NewBoolValue(false)},
		},
		OffVariant:     "off",
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
	}
	for _, n := range needs {
		f.Prerequisites = append(f.Prerequisites, &flagv1.Prerequisite{FlagKey: n, Variants: []string{"on"}})
	}
	return f
}

// inSegment adds a rule that refers to the segment.
func inSegment(f *flagv1.Flag, segment string) *flagv1.Flag {
	f.Rules = append(f.Rules, &flagv1.Rule{
		Id: "in-" + segment,
		Clauses: []*flagv1.Clause{{
			Operator: flagv1.Operator_OPERATOR_IN_SEGMENT,
			Values:   []*structpb.Value{structpb.NewStringValue(segment)},
		}},
		Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
	})
	return f
}

func (f *fixture) create(flag *flagv1.Flag) *controlv1.CreateFlagResponse {
	f.t.Helper()
	resp, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: flag, Reason: "first"})
	if err != nil {
		f.t.Fatalf("CreateFlag(%s): %v", flag.GetKey(), err)
	}
	return resp
}

func (f *fixture) createSegment(key string, included ...string) *controlv1.CreateSegmentResponse {
	f.t.Helper()
	resp, err := f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{
		Environment: production, Segment: &flagv1.Segment{Key: key, Included: included}, Reason: "first",
	})
	if err != nil {
		f.t.Fatalf("CreateSegment(%s): %v", key, err)
	}
	return resp
}

func (f *fixture) update(flag *flagv1.Flag, base int64) (*controlv1.UpdateFlagResponse, error) {
	return f.UpdateFlag(f.ctx, alice, &controlv1.UpdateFlagRequest{
		Environment: production, Flag: flag, BaseRevision: base, Reason: "change",
	})
}

func (f *fixture) setEnabled(key string, enabled bool) *controlv1.SetEnabledResponse {
	f.t.Helper()
	resp, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{
		Environment: production, FlagKey: key, Enabled: enabled, Reason: "switch",
	})
	if err != nil {
		f.t.Fatalf("SetEnabled(%s): %v", key, err)
	}
	return resp
}

func (f *fixture) delete(key string, base int64) error {
	_, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{
		Environment: production, FlagKey: key, BaseRevision: base, Reason: "gone",
	})
	return err
}

func (f *fixture) get(key string) *controlv1.FlagVersion {
	f.t.Helper()
	resp, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: key})
	if err != nil {
		f.t.Fatalf("GetFlag(%s): %v", key, err)
	}
	return resp.GetFlag()
}

// fullHistory returns a flag's audit entries, oldest first.
func (f *fixture) fullHistory(key string) []*controlv1.AuditEntry {
	f.t.Helper()
	var entries []*controlv1.AuditEntry
	token := ""
	for {
		resp, err := f.ListFlagHistory(f.ctx, &controlv1.ListFlagHistoryRequest{
			Environment: production, FlagKey: key, PageSize: 7, PageToken: token,
		})
		if err != nil {
			f.t.Fatalf("ListFlagHistory(%s): %v", key, err)
		}
		for _, e := range resp.GetEntries() {
			entries = append([]*controlv1.AuditEntry{e}, entries...)
		}
		if token = resp.GetNextPageToken(); token == "" {
			return entries
		}
	}
}

// caughtUp waits until the replicas show everything that the store holds.
func (f *fixture) caughtUp() {
	f.t.Helper()
	_, revision, err := f.store.Read(f.ctx, store.Key(epochKey))
	if err != nil {
		f.t.Fatalf("Read: %v", err)
	}
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	if applied, err := f.applier.wait(ctx, revision); err != nil {
		f.t.Fatalf("revision %d was not applied, only %d", revision, applied)
	}
}

func parseValue(text string) *structpb.Value {
	v := new(structpb.Value)
	parse(text, v)
	return v
}

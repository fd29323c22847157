package audit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	production = "production"
	patience   = 30 * time.Second
)

// fixture is an authority on a memory store, and its trails.
type fixture struct {
	*Trails
	t         *testing.T
	ctx       context.Context // the test's own
	store     *memstore.Store
	authority *controlplane.Authority
	clock     time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*patience)
	t.Cleanup(cancel)
	f := &fixture{t: t, ctx: ctx, store: memstore.New(), clock: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	t.Cleanup(func() { _ = f.store.Close() })
	var err error
	f.authority, err = controlplane.Open(ctx, controlplane.Options{
		Store: f.store, Replicas: replica.NewSet(replica.Options{}), Environments: []string{production, "staging"},
		Logger: zerolog.Nop(), Now: func() time.Time { return f.clock },
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.authority.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	f.Trails, err = New(Options{
		Store: f.store, Head: f.authority.Head, Exists: f.authority.CheckEnvironment, Interval: time.Millisecond, Logger: zerolog.Nop(), Now: func() time.Time { return time.Unix(0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// elect makes somebody the leader.
func (f *fixture) elect() leader.Term {
	f.t.Helper()
	if _, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Delete(leader.Key)}}); err != nil {
		f.t.Fatal(err)
	}
	out, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put(leader.Key, []byte("{}"))}})
	if err != nil {
		f.t.Fatal(err)
	}
	return leader.Term(out.Revision)
}

// lead seals until the returned function is called, which returns what Lead did.
func (f *fixture) lead(term leader.Term) (stop func() error) {
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Lead(ctx, term) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// sealed seals all that was written in production, and returns the head.
func (f *fixture) sealAll() *controlv1.TrailHead {
	f.t.Helper()
	stop := f.lead(f.elect())
	defer func() {
		if err := stop(); err != nil {
			f.t.Error(err)
		}
	}()
	written := f.count()
	return f.headOf(func(h *controlv1.TrailHead) bool { return h.GetEntries() >= int64(written) })
}

func (f *fixture) headOf(ok func(*controlv1.TrailHead) bool) *controlv1.TrailHead {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		resp, err := f.Head(f.ctx, &controlv1.GetTrailHeadRequest{Environment: production})
		if err != nil {
			f.t.Fatal(err)
		}
		if ok(resp.GetHead()) {
			return resp.GetHead()
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the head is still %v", resp.GetHead())
		}
	}
}

// count counts production's entries.
func (f *fixture) count() int {
	f.t.Helper()
	return len(f.entries())
}

func (f *fixture) entries() []store.KV {
	f.t.Helper()
	results, _, err := f.store.Read(f.ctx, store.Prefix(trailRoot(production)))
	if err != nil {
		f.t.Fatal(err)
	}
	return results[0].KVs
}

func (f *fixture) create(key, actor, reason string) *controlv1.AuditEntry {
	f.t.Helper()
	resp, err := f.authority.CreateFlag(f.ctx, controlplane.Caller{Actor: actor}, &controlv1.CreateFlagRequest{
		Environment: production, Reason: reason, RequestId: "make-" + key, Flag: &flagv1.Flag{
			Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
			Variants: []*flagv1.Variant{
				{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
			},
			DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.GetEntry()
}

func (f *fixture) enable(key string, enabled bool, actor, reason string) *controlv1.AuditEntry {
	f.t.Helper()
	resp, err := f.authority.SetEnabled(f.ctx, controlplane.Caller{Actor: actor}, &controlv1.SetEnabledRequest{
		Environment: production, FlagKey: key, Enabled: enabled, Reason: reason,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.GetEntry()
}

// fill makes n flags, and switches each off and on again.
func (f *fixture) fill(n int) {
	f.t.Helper()
	for i := range n {
		f.create(fmt.Sprintf("f%03d", i), "ann", "made")
	}
	for _, enabled := range []bool{false, true} {
		for i := range n {
			f.enable(fmt.Sprintf("f%03d", i), enabled, "bob", "switched")
		}
	}
}

// verify proves production's trail as it is exported, and demands that a copy of the store proves
// the same.
func (f *fixture) verify(kept ...*controlv1.TrailHead) (Proven, error) {
	f.t.Helper()
	p, err := f.verifyExport(kept...)
	inCopy, copyErr := f.verifyCopy(kept...)
	if (err == nil) != (copyErr == nil) || err != nil && !strings.HasSuffix(copyErr.Error(), err.Error()) {
		f.t.Errorf("of a copy: %v; of the export: %v", copyErr, err)
	}
	if !proto.Equal(p.Head, inCopy.Head) || p.Unsealed != inCopy.Unsealed || p.Kept != inCopy.Kept {
		f.t.Errorf("of a copy: %+v; of the export: %+v", inCopy, p)
	}
	return p, err
}

// verifyCopy proves production's trail in a copy of the store.
func (f *fixture) verifyCopy(kept ...*controlv1.TrailHead) (proven Proven, err error) {
	f.t.Helper()
	c := NewCopied(kept...)
	results, _, err := f.store.Read(f.ctx, store.Prefix("/"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, kv := range results[0].KVs {
		c.Add(kv)
	}
	err = c.End(func(trail string, p Proven) {
		if trail == production {
			proven = p
		}
	})
	return proven, err
}

// verifyExport exports production's trail, and proves it.
func (f *fixture) verifyExport(kept ...*controlv1.TrailHead) (Proven, error) {
	f.t.Helper()
	v := NewVerifier(production, kept...)
	var head *controlv1.TrailHead
	var wrong error
	err := f.Export(f.ctx, &controlv1.ExportTrailRequest{Environment: production}, func(r *controlv1.ExportTrailResponse) error {
		if r.GetHead() != nil {
			head = r.GetHead()
		}
		for _, e := range r.GetEntries() {
			if wrong == nil {
				wrong = v.Entry(e)
			}
		}
		for _, s := range r.GetSeals() {
			if wrong == nil {
				wrong = v.Seal(s)
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if wrong != nil {
		return Proven{}, wrong
	}
	return v.End(head)
}

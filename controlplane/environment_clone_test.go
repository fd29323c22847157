package controlplane

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestCloneWhileWritten: whatever is written to the source meanwhile, and however many
// transactions it takes, a clone has what the source had at the revision that it names, and no
// server ever shows a part of it.
func TestCloneWhileWritten(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	servers := []*rolling{newRolling(runOn(t, s)), newRolling(runOn(t, s))}
	f := servers[0]
	for i := range 50 {
		f.create(boolFlag(fmt.Sprintf("f%d", i)))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for r := rand.New(rand.NewPCG(uint64(w), 1)); ; {
				select {
				case <-stop:
					return
				default:
				}
				_, err := mixedWrite(servers[w%2], r)
				tolerateMixed(t, err)
			}
		})
	}
	type clone struct {
		name string
		want map[string][]byte
	}
	var clones []clone
	for i := range 25 {
		name := fmt.Sprintf("clone-%d", i)
		seen := watchShown(servers[1].fixture, name)
		resp, err := servers[i%2].makeEnvironment(&controlv1.CreateEnvironmentRequest{Name: name, FromEnvironment: production})
		if err != nil {
			t.Fatal(err)
		}
		want := f.content(s, production, resp.GetSourceRevision())
		clones = append(clones, clone{name, want})
		if got := f.content(s, name, 0); !same(got, want) || len(want) == 0 {
			t.Fatalf("clone %d has %d flags and segments, the source had %d at revision %d, or they differ", i, len(got), len(want), resp.GetSourceRevision())
		}
		if first := seen(); !same(first, want) {
			t.Errorf("clone %d was first shown with %d flags and segments of %d", i, len(first), len(want))
		}
	}
	close(stop)
	wg.Wait()
	if same(clones[0].want, clones[len(clones)-1].want) {
		t.Error("nothing was written meanwhile: the test shows nothing")
	}
	for _, server := range servers {
		server.caughtUp()
		for _, c := range clones {
			if !same(server.shown(c.name), c.want) {
				t.Errorf("a server shows %s otherwise", c.name)
			}
		}
	}
}

// watchShown returns a function that waits for the first state of an environment that a server
// shows.
func watchShown(f *fixture, environment string) func() map[string][]byte {
	first := make(chan map[string][]byte, 1)
	go func() {
		for f.ctx.Err() == nil {
			added := f.replicas.Added()
			ready := added
			r := f.replicas.Replica(environment)
			if r != nil {
				ready = r.Ready()
			}
			select {
			case <-ready:
			case <-f.ctx.Done():
			}
			if r != nil {
				first <- f.shown(environment)
				return
			}
		}
	}()
	return func() map[string][]byte {
		select {
		case held := <-first:
			return held
		case <-f.ctx.Done():
			return nil
		}
	}
}

// TestCloneInParts: a clone that was cut off is not there, for anybody, on servers that start
// meanwhile either; the same request goes on with it, from the same revision.
func TestCloneInParts(t *testing.T) {
	s := &failing{Store: memstore.New()}
	t.Cleanup(func() { _ = s.Close() })
	f := runOn(t, s)
	const flags = 2*maxChunkLength + 5
	for i := range flags {
		f.create(boolFlag(fmt.Sprintf("f%02d", i)))
	}
	request := &controlv1.CreateEnvironmentRequest{FromEnvironment: production, RequestId: "once"}
	want := f.content(s, production, 0)
	s.refuseAfter(2) // the filling, and one part
	_, err := f.makeEnvironment(proto.CloneOf(request))
	mentions(t, err, "1 of 4 transactions were written, which nobody sees")
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	s.refuseAfter(-1)
	if n := len(f.content(s, fresh, 0)); n != maxChunkLength {
		t.Fatalf("%d are there", n)
	}
	f.setEnabled("f00", false)
	f.create(boolFlag("later"))

	late := runOn(t, s)
	for _, server := range []*fixture{f, late} {
		server.caughtUp()
		if server.replicas.Replica(fresh) != nil {
			t.Error("a part of it is shown")
		}
		_, err := server.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: fresh, Flag: boolFlag("x"), Reason: "r"})
		mentions(t, as[*NotFoundError](t, err), `environment "fresh"`)
		_, err = server.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: fresh})
		wants[*NotFoundError](t, err)
	}
	if there, err := ensureEnvironment(f.ctx, s, fresh); there || err != nil {
		t.Errorf("a server that is told of it makes it: %v, %v", there, err)
	}
	resp, err := late.makeEnvironment(proto.CloneOf(request))
	if err != nil {
		t.Fatal(err)
	}
	if !same(f.content(s, fresh, 0), want) || resp.GetCopied() != flags {
		t.Errorf("it has %d, copied %d", len(f.content(s, fresh, 0)), resp.GetCopied())
	}
	for _, server := range []*fixture{f, late} {
		server.caughtUp()
		if !same(server.shown(fresh), want) {
			t.Error("it is not shown as it is")
		}
	}
	if again, err := f.makeEnvironment(proto.CloneOf(request)); err != nil || !proto.Equal(again, resp) {
		t.Errorf("the same request again: %v, %v; first: %v", again, err, resp)
	}
	if left, _, err := s.Read(f.ctx, store.Key(fillingKey(fresh))); err != nil || len(left[0].KVs) != 0 {
		t.Errorf("the filling is left: %v, %v", left, err)
	}
}

// TestCloneOvertaken: another request for the name starts over; whoever was at it is told.
func TestCloneOvertaken(t *testing.T) {
	s := &failing{Store: memstore.New()}
	t.Cleanup(func() { _ = s.Close() })
	f := runOn(t, s)
	for i := range maxChunkLength + 5 {
		f.create(boolFlag(fmt.Sprintf("f%02d", i)))
	}
	s.refuseAfter(2)
	if _, err := f.makeEnvironment(&controlv1.CreateEnvironmentRequest{FromEnvironment: production, RequestId: "one"}); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	s.refuseAfter(-1)
	m := &making{Authority: f.Authority, caller: alice, counts: &restoredCounts{}, request: &controlv1.CreateEnvironmentRequest{
		Name: fresh, FromEnvironment: production, RequestId: "one", Reason: "for the new region",
	}}
	if made, err := m.begin(f.ctx); made || err != nil {
		t.Fatal(made, err)
	}
	f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{FromEnvironment: staging})
	if held := f.content(s, fresh, 0); len(held) != 0 {
		t.Errorf("of what was begun there are %v", slices.Collect(maps.Keys(held)))
	}
	mentions(t, as[*ConflictError](t, m.fill(f.ctx)), `environment "fresh"`)
	f.caughtUp()
	if held := f.shown(fresh); held == nil || len(held) != 0 {
		t.Errorf("it is shown with %v", held)
	}
	_, err := f.makeEnvironment(&controlv1.CreateEnvironmentRequest{FromEnvironment: production, RequestId: "one"})
	wants[*ExistsError](t, err)
}

// TestCloneAtOnce: of requests for one name at the same time, those that are the same get the
// same answer, and of different ones one wins.
func TestCloneAtOnce(t *testing.T) {
	f, s := newFixture(t)
	f.createSegment("staff")
	for i := range 40 {
		f.create(inSegment(boolFlag(fmt.Sprintf("f%02d", i)), "staff"))
	}
	other := runOn(t, s)
	results := make([]*controlv1.CreateEnvironmentResponse, 6)
	errs := make([]error, len(results))
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			results[i], errs[i] = []*fixture{f, other}[i%2].makeEnvironment(&controlv1.CreateEnvironmentRequest{
				FromEnvironment: production, RequestId: []string{"one", "one", "two"}[i/2],
			})
		})
	}
	wg.Wait()
	var won *controlv1.CreateEnvironmentResponse
	for i, err := range errs {
		switch {
		case err == nil && won == nil:
			won = results[i]
		case err == nil && !proto.Equal(won, results[i]):
			t.Errorf("two have won: %v and %v", won, results[i])
		case err != nil && !errors.As(err, new(*ConflictError)) && !errors.As(err, new(*ExistsError)):
			t.Error(err)
		}
	}
	if won == nil {
		t.Fatalf("none has won: %v", errs)
	}
	if !same(f.content(s, fresh, 0), f.content(s, production, won.GetSourceRevision())) {
		t.Error("it is not what the source was")
	}
}

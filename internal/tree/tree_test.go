package tree_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/tree"
)

func follower(id, boot string) tree.Follower {
	return tree.Follower{
		Relay: true, InstanceID: id, BootID: boot, StreamNumber: 1, Region: "here", Version: "1",
		Environments: []string{"e"}, Path: []string{id},
	}
}

func status(id, boot string, stream uint64, revision int64) *syncv1.RelayStatus {
	s := &syncv1.RelayStatus{
		InstanceId: id, BootId: boot, Region: "there", Version: "2", Upstream: "a", StreamNumber: stream,
		Environments: []*syncv1.RelayEnvironment{{Environment: "e"}},
	}
	if revision > 0 {
		s.Environments[0].Cursor = cursor(revision).Proto()
	}
	return s
}

// told are the changes that a subscription has, in short, sorted.
func told(s *tree.Subscription) string {
	var all []string
	for r := s.Take(); r != nil; r = s.Take() {
		for _, s := range r.GetRelays() {
			all = append(all, fmt.Sprintf("%s/%s#%d@%d", s.GetInstanceId(), s.GetBootId(), s.GetStreamNumber(), s.GetEnvironments()[0].GetCursor().GetRevision()))
		}
		for _, d := range r.GetDepartures() {
			all = append(all, fmt.Sprintf("-%s left:%v", d.GetInstanceId(), d.GetLeft()))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func report(t *testing.T, b *tree.Branch, r *syncv1.Report) {
	t.Helper()
	if err := b.Report(r); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, s *tree.Subscription, want string) {
	t.Helper()
	if got := told(s); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestTwoWays(t *testing.T) {
	t.Parallel()
	relays := func(s ...*syncv1.RelayStatus) *syncv1.Report { return &syncv1.Report{Relays: s} }
	gone := func(left bool) *syncv1.Report {
		return &syncv1.Report{Departures: []*syncv1.RelayDeparture{{InstanceId: "x", Left: left}}}
	}
	for _, test := range []struct {
		name   string
		toldBy []any // of a and b in turn: reports, or "gone"
		want   []string
	}{
		{
			"the later stream of one start counts, whichever is heard of last",
			[]any{relays(status("x", "one", 2, 7)), relays(status("x", "one", 1, 5)), nil, gone(false)},
			[]string{"x/one#2@7", "", "", ""},
		},
		{
			"what is late about an earlier stream takes nothing back",
			[]any{relays(status("x", "one", 1, 5)), relays(status("x", "one", 2, 7)), relays(status("x", "one", 1, 6)), nil, gone(false)},
			[]string{"x/one#1@5", "x/one#2@7", "", "", ""},
		},
		{
			"what is left counts",
			[]any{relays(status("x", "one", 1, 5)), relays(status("x", "one", 2, 7)), nil, gone(false)},
			[]string{"x/one#1@5", "x/one#2@7", "", "x/one#1@5"},
		},
		{
			"the start that is heard of later counts, whatever its streams",
			[]any{relays(status("x", "one", 9, 5)), relays(status("x", "two", 1, 3)), relays(status("x", "one", 9, 6)), nil, gone(false)},
			[]string{"x/one#9@5", "x/two#1@3", "", "", ""},
		},
		{
			"a new start over the same way counts",
			[]any{relays(status("x", "one", 9, 5)), relays(status("x", "one", 8, 4)), relays(status("x", "two", 1, 0))},
			[]string{"x/one#9@5", "", "x/two#1@0"},
		},
		{
			"who left by itself is gone, whatever is still claimed",
			[]any{relays(status("x", "one", 1, 5)), relays(status("x", "one", 2, 7)), relays(status("x", "one", 1, 6)), gone(true), relays(status("x", "one", 1, 7)), nil, gone(false)},
			[]string{"x/one#1@5", "x/one#2@7", "", "-x left:true", "", "", ""},
		},
		{
			"and back with a new start",
			[]any{relays(status("x", "one", 1, 5)), relays(status("x", "one", 2, 7)), nil, gone(true), nil, relays(status("x", "two", 1, 0)), gone(false)},
			[]string{"x/one#1@5", "x/one#2@7", "", "-x left:true", "", "x/two#1@0", ""},
		},
		{
			"who may still serve is gone, but did not leave",
			[]any{relays(status("x", "one", 1, 5)), nil, gone(false)},
			[]string{"x/one#1@5", "", "-x left:false"},
		},
		{
			"a departure of a relay that was not reported",
			[]any{gone(true)},
			[]string{""},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root := tree.New("root")
			branches := []*tree.Branch{root.Join(follower("a", "boot")), root.Join(follower("b", "boot"))}
			s := root.Subscribe()
			defer s.Close()
			expect(t, s, "a/boot#1@0 b/boot#1@0")
			for i, r := range test.toldBy {
				if r != nil {
					report(t, branches[i%2], r.(*syncv1.Report))
				}
				if got := told(s); got != test.want[i] {
					t.Errorf("step %d: told %q, want %q", i, got, test.want[i])
				}
			}
		})
	}
}

// An old stream's end, late, does not take away the relay's new one.
func TestLateEnd(t *testing.T) {
	t.Parallel()
	root := tree.New("root")
	s := root.Subscribe()
	old := root.Join(follower("a", "one"))
	old.Ack("e", cursor(3), tree.Rejections{})
	again := follower("a", "one")
	again.StreamNumber = 2
	fresh := root.Join(again)
	expect(t, s, "a/one#2@0")
	if n := root.Streams(); n != 2 {
		t.Errorf("%d streams", n)
	}
	old.Ack("e", cursor(4), tree.Rejections{})
	old.Leave(true)
	fresh.Ack("e", cursor(5), tree.Rejections{Count: 2})
	// It ended by itself: that is of its start, and nothing of it is left.
	expect(t, s, "-a left:true")
	fresh.Leave(false)
	fresh.Leave(false)
	fresh.Ack("e", cursor(6), tree.Rejections{})
	if err := fresh.Report(&syncv1.Report{Relays: []*syncv1.RelayStatus{status("x", "one", 1, 1)}}); err != nil {
		t.Error(err)
	}
	expect(t, s, "")
	if n := root.Streams(); n != 0 {
		t.Errorf("%d streams", n)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	root := tree.New("root")
	a := root.Join(follower("a", "boot"))
	root.Join(tree.Follower{InstanceID: "sdk"}).Ack("e", cursor(1), tree.Rejections{})
	a.Ack("e", cursor(9), tree.Rejections{Count: 3})
	a.Ack("other", cursor(9), tree.Rejections{Count: 3})
	x := status("x", "boot", 7, 5)
	x.Streams, x.Environments[0].Rejections, x.Environments[0].Age = 12, 4, durationpb.New(time.Minute)
	own := &syncv1.RelayStatus{InstanceId: "a", Streams: 2, Environments: []*syncv1.RelayEnvironment{{Environment: "e", Age: durationpb.New(time.Hour)}}}
	report(t, a, &syncv1.Report{Relays: []*syncv1.RelayStatus{x, own}})
	got := make(map[string]*syncv1.RelayStatus)
	for _, s := range root.Subscribe().Take().GetRelays() {
		if age := s.GetEnvironments()[0].GetAge().AsDuration().Truncate(time.Minute); age > 0 {
			s.Environments[0].Age = durationpb.New(age)
		}
		got[s.GetInstanceId()] = s
	}
	want := map[string]*syncv1.RelayStatus{"x": x, "a": {
		InstanceId: "a", BootId: "boot", Region: "here", Version: "1", Upstream: "root", Streams: 2, StreamNumber: 1,
		Environments: []*syncv1.RelayEnvironment{{Environment: "e", Cursor: cursor(9).Proto(), Rejections: 3, Age: durationpb.New(time.Hour)}},
	}}
	if len(got) != len(want) || !proto.Equal(got["x"], want["x"]) || !proto.Equal(got["a"], want["a"]) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// Only what matters wakes: ages and numbers of SDKs wait for the next look.
func TestChanged(t *testing.T) {
	t.Parallel()
	root := tree.New("root")
	s := root.Subscribe()
	wakes := func(what string, want bool) {
		t.Helper()
		select {
		case <-s.Changed():
			if !want {
				t.Errorf("%s wakes", what)
			}
		default:
			if want {
				t.Errorf("%s does not wake", what)
			}
		}
		if told(s) == "" {
			t.Errorf("%s is not told", what)
		}
	}
	a := root.Join(follower("a", "boot"))
	wakes("a follower", true)
	a.Ack("e", cursor(1), tree.Rejections{})
	wakes("an ack", true)
	report(t, a, &syncv1.Report{Relays: []*syncv1.RelayStatus{status("x", "boot", 1, 1)}})
	wakes("a relay", true)
	aged := status("x", "boot", 1, 1)
	aged.Streams, aged.Environments[0].Age = 5, durationpb.New(time.Second)
	report(t, a, &syncv1.Report{Relays: []*syncv1.RelayStatus{aged}})
	wakes("age", false)
	report(t, a, &syncv1.Report{Relays: []*syncv1.RelayStatus{{InstanceId: "a", Streams: 1}}})
	wakes("streams", false)
	report(t, a, &syncv1.Report{Relays: []*syncv1.RelayStatus{status("x", "boot", 1, 2)}})
	wakes("an ack below", true)
	a.Leave(false)
	wakes("an end", true)
	root.Join(tree.Follower{InstanceID: "sdk"})
	expect(t, s, "")
}

func TestPath(t *testing.T) {
	t.Parallel()
	root := tree.New("root")
	if p := root.Path(); len(p) != 0 {
		t.Errorf("path %v", p)
	}
	a := root.Join(follower("a", "boot"))
	below := func(id, upstream string) *syncv1.RelayStatus {
		s := status(id, "boot", 1, 0)
		s.Upstream = upstream
		return s
	}
	for i, test := range []struct {
		add  *syncv1.RelayStatus
		want string
	}{
		{below("b", "a"), "[b a]"},
		{below("c", "b"), "[c b a]"},
		{below("d", "c"), "[d c b a]"},
		{below("e", "d"), "[e d c b]"},
		{below("b", "e"), "[e d c b]"}, // in a circle: bounded all the same
	} {
		report(t, a, &syncv1.Report{Relays: []*syncv1.RelayStatus{test.add}})
		if got := root.Path(); i < 4 && fmt.Sprint(got) != test.want && len(got) != 4 || len(got) > 4 {
			t.Errorf("step %d: path %v, want %s", i, got, test.want)
		}
	}
	b := follower("z", "boot")
	b.Path = []string{"1", "2", "3", "z"}
	root.Join(b)
	if p := root.Path(); len(p) != 4 {
		t.Errorf("path %v", p)
	}
}

func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 257)
	many := func(n int) []*syncv1.RelayStatus {
		list := make([]*syncv1.RelayStatus, n)
		for i := range list {
			list[i] = status(fmt.Sprint("r", i), "boot", 1, 1)
		}
		return list
	}
	one := func(spoil func(*syncv1.RelayStatus)) *syncv1.Report {
		s := status("x", "boot", 1, 1)
		spoil(s)
		return &syncv1.Report{Relays: []*syncv1.RelayStatus{status("good", "boot", 1, 1), s}}
	}
	for name, test := range map[string]struct {
		report *syncv1.Report
		want   string
	}{
		"entries":       {&syncv1.Report{Relays: many(1_000_000)}, "report: it has 1000000 entries; at most 1000 are allowed"},
		"departures":    {&syncv1.Report{Departures: make([]*syncv1.RelayDeparture, 1001)}, "report: it has 1001 entries; at most 1000 are allowed"},
		"id":            {one(func(s *syncv1.RelayStatus) { s.InstanceId = long }), "report: relays[1]: instance_id is empty, or longer than 256 bytes"},
		"no id":         {one(func(s *syncv1.RelayStatus) { s.InstanceId = "" }), "report: relays[1]: instance_id is empty, or longer than 256 bytes"},
		"twice":         {one(func(s *syncv1.RelayStatus) { s.InstanceId = "good" }), `report: relays[1]: "good" occurs twice`},
		"receiver":      {one(func(s *syncv1.RelayStatus) { s.InstanceId = "root" }), `report: relays[1]: "root" is who receives it, and cannot be below`},
		"region":        {one(func(s *syncv1.RelayStatus) { s.Region = long }), "report: relays[1]: region is 257 bytes long; at most 256 are allowed"},
		"no boot":       {one(func(s *syncv1.RelayStatus) { s.BootId = "" }), "report: relays[1]: boot_id is empty"},
		"no upstream":   {one(func(s *syncv1.RelayStatus) { s.Upstream = "" }), "report: relays[1]: upstream is empty"},
		"environments":  {one(func(s *syncv1.RelayStatus) { s.Environments = make([]*syncv1.RelayEnvironment, 65) }), "report: relays[1]: it has 65 environments; at most 64 are allowed"},
		"environment":   {one(func(s *syncv1.RelayStatus) { s.Environments[0].Environment = long }), "report: relays[1]: environments[0]: environment is empty, or longer than 256 bytes"},
		"cursor":        {one(func(s *syncv1.RelayStatus) { s.Environments[0].Cursor.Epoch = nil }), "report: relays[1]: environments[0]: cursor has no epoch"},
		"departure":     {&syncv1.Report{Relays: many(1), Departures: []*syncv1.RelayDeparture{{InstanceId: "r0"}}}, `report: departures[0]: "r0" occurs twice`},
		"nil departure": {&syncv1.Report{Departures: []*syncv1.RelayDeparture{nil}}, "report: departures[0]: instance_id is empty, or longer than 256 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := tree.New("root")
			a := root.Join(follower("a", "boot"))
			s := root.Subscribe()
			told(s)
			if err := a.Report(test.report); err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			expect(t, s, "") // nothing of it was taken
		})
	}
	t.Run("all together", func(t *testing.T) {
		t.Parallel()
		root := tree.New("root")
		a := root.Join(follower("a", "boot"))
		all := many(tree.MaxBelow)
		for part := range slices.Chunk(all, tree.MaxReport) {
			report(t, a, &syncv1.Report{Relays: part})
		}
		extra := &syncv1.Report{Relays: []*syncv1.RelayStatus{status("extra", "boot", 1, 1)}}
		if err := a.Report(extra); err == nil || !strings.Contains(err.Error(), "more than 20000 relays below a") {
			t.Errorf("%v", err)
		}
		extra.Departures = []*syncv1.RelayDeparture{{InstanceId: "r0"}}
		report(t, a, extra)
		n := 0
		s := root.Subscribe()
		for r := s.Take(); r != nil; r = s.Take() {
			if len(r.GetRelays()) > tree.MaxReport || proto.Size(r) > 4<<20 {
				t.Errorf("a report of %d relays, %d bytes", len(r.GetRelays()), proto.Size(r))
			}
			n += len(r.GetRelays())
		}
		if n != tree.MaxBelow+1 {
			t.Errorf("%d relays", n)
		}
	})
	t.Run("of an SDK", func(t *testing.T) {
		t.Parallel()
		b := tree.New("root").Join(tree.Follower{InstanceID: "sdk"})
		if err := b.Report(&syncv1.Report{}); err == nil {
			t.Error("an SDK may report")
		}
	})
}

// FuzzReport: whatever arrives, it is refused whole, or told on in a form that the next
// receiver takes.
func FuzzReport(f *testing.F) {
	for _, r := range []*syncv1.Report{
		{Relays: []*syncv1.RelayStatus{status("x", "boot", 1, 1), {InstanceId: "a", Streams: 3}}},
		{Departures: []*syncv1.RelayDeparture{{InstanceId: "x", Left: true}}},
		{Relays: []*syncv1.RelayStatus{status("root", "boot", 1, 1)}},
	} {
		data, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &syncv1.Report{}
		if proto.Unmarshal(data, r) != nil {
			return
		}
		middle, top := tree.New("middle"), tree.New("top")
		a, up := middle.Join(follower("a", "boot")), top.Join(follower("middle", "boot"))
		s, above := middle.Subscribe(), top.Subscribe()
		told(s)
		if err := a.Report(r); err != nil {
			expect(t, s, "")
			return
		}
		for next := s.Take(); next != nil; next = s.Take() {
			if slices.ContainsFunc(next.GetRelays(), func(s *syncv1.RelayStatus) bool { return s.GetInstanceId() == "top" }) {
				return // it follows top, over others: top says so
			}
			report(t, up, next)
		}
		told(above)
		a.Leave(false)
		up.Leave(true)
	})
}

// TestRevoked: who is told to drop an environment does not have it any more, and what it went
// without travels up, over all hops.
func TestRevoked(t *testing.T) {
	near, root := tree.New("near"), tree.New("root")
	up, view := near.Subscribe(), root.Subscribe()
	defer up.Close()
	defer view.Close()
	f := follower("a", "boot")
	f.Environments = []string{"e", "kept"}
	b, way := near.Join(f), root.Join(follower("near", "boot"))
	b.Ack("e", cursor(1), tree.Rejections{})
	pass := func() *syncv1.Report {
		t.Helper()
		for r := up.Take(); r != nil; r = up.Take() {
			if err := way.Report(r); err != nil {
				t.Fatal(err)
			}
		}
		return view.Take()
	}
	pass()
	b.Revoke([]string{"e"})
	b.Ack("e", cursor(2), tree.Rejections{})
	if r := pass().GetRelays(); len(r) != 1 || len(r[0].GetEnvironments()) != 1 || r[0].GetEnvironments()[0].GetEnvironment() != "kept" {
		t.Errorf("connected: %v", r)
	}
	b.Leave(false)
	if d := pass().GetDepartures(); len(d) != 1 || d[0].GetLeft() || !slices.Equal(d[0].GetRevoked(), []string{"e"}) {
		t.Errorf("gone: %v", d)
	}
	for _, names := range [][]string{{""}, {strings.Repeat("x", 257)}, make([]string, 65)} {
		if err := way.Report(&syncv1.Report{Departures: []*syncv1.RelayDeparture{{InstanceId: "a", Revoked: names}}}); err == nil {
			t.Errorf("%q was taken", names)
		}
	}
}

// TestClaim: what was not acknowledged is told, and told apart.
func TestClaim(t *testing.T) {
	a := tree.New("a")
	view := a.Subscribe()
	defer view.Close()
	b := a.Join(follower("b", "boot"))
	b.Claim("e", cursor(9))
	if e := view.Take().GetRelays()[0].GetEnvironments()[0]; e.GetCursor() != nil || e.GetClaimed().GetRevision() != 9 {
		t.Errorf("claimed: %v", e)
	}
	b.Ack("e", cursor(2), tree.Rejections{Count: 1, Newest: 2})
	b.Claim("e", cursor(9))
	if e := view.Take().GetRelays()[0].GetEnvironments()[0]; e.GetCursor().GetRevision() != 2 || e.GetClaimed() != nil || e.GetRejections() != 1 {
		t.Errorf("acknowledged: %v", e)
	}
}

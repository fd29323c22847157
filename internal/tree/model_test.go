package tree_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// The model is a root and relays that follow it or each other, up to four hops. They
// connect, acknowledge, break and stop at random, while what they tell is on its way and ends
// of streams are noticed late. Once everything has arrived, the root must know exactly who is
// there, where, and what they have; and at any time, no more than they ever had.
type model struct {
	t      *rapid.T
	root   *host
	relays []*host
	// lingering streams have ended on one side only.
	lingering []*stream
	view      map[string]*syncv1.RelayStatus
	// left tells, of relays that are gone, whether they are known to have ended by themselves.
	left  map[string]bool
	watch *tree.Subscription
	boots int
}

// host is the root or a relay.
type host struct {
	id      string
	boot    string // empty: not running
	tree    *tree.Tree
	streams uint64
	up      *stream // nil: not connected
	revision,
	acked int64
	stopped bool // by itself, once
}

// stream is what a relay follows another over; what it sends arrives later.
type stream struct {
	from, to *host
	branch   *tree.Branch
	below    *tree.Subscription
	queue    []func()
}

func newModel(t *rapid.T) *model {
	m := &model{
		t: t, root: &host{id: "root", boot: "boot", tree: tree.New("root")},
		view: make(map[string]*syncv1.RelayStatus), left: make(map[string]bool),
	}
	for i := range 6 {
		m.relays = append(m.relays, &host{id: fmt.Sprintf("relay-%d", i)})
	}
	m.watch = m.root.tree.Subscribe()
	return m
}

func (m *model) relay(label string, fit func(*host) bool) *host {
	fitting := slices.DeleteFunc(slices.Clone(m.relays), func(h *host) bool { return !fit(h) })
	if len(fitting) == 0 {
		m.t.Skip("no relay fits")
	}
	return rapid.SampledFrom(fitting).Draw(m.t, label)
}

func running(h *host) bool   { return h.boot != "" }
func connected(h *host) bool { return h.up != nil }

// depth of a host below the root; 0 for one that is not connected to it.
func (m *model) depth(h *host) int {
	for depth := 0; ; depth++ {
		switch {
		case h == m.root:
			return depth
		case h.up == nil || h.up.to.boot == "":
			return 0
		}
		h = h.up.to
	}
}

func (m *model) start(*rapid.T) {
	h := m.relay("starts", func(h *host) bool { return !running(h) })
	m.boots++
	h.boot, h.tree, h.streams = fmt.Sprint("boot-", m.boots), tree.New(h.id), 0
}

// connect follows another: whom it followed before may notice later. Who is still listed
// below it, over a stream whose end it has not noticed, would refuse it.
func (m *model) connect(*rapid.T) {
	h := m.relay("connects", running)
	to := m.root
	if rapid.Bool().Draw(m.t, "to a relay") {
		to = m.relay("to", func(o *host) bool { return m.depth(o) > 0 && m.depth(o) < 4 && !m.below(o, h) && !lists(h, o) })
	}
	m.cut(h)
	h.streams++
	f := tree.Follower{
		Relay: true, InstanceID: h.id, BootID: h.boot, StreamNumber: h.streams, Region: "here", Version: "1",
		Environments: []string{"e"}, Path: []string{h.id},
	}
	h.up = &stream{from: h, to: to, branch: to.tree.Join(f), below: h.tree.Subscribe()}
	h.acked = 0
}

// lists tells whether a relay has another in its tree.
func lists(h, o *host) bool {
	all := h.tree.Subscribe()
	defer all.Close()
	for r := all.Take(); r != nil; r = all.Take() {
		if slices.ContainsFunc(r.GetRelays(), func(s *syncv1.RelayStatus) bool { return s.GetInstanceId() == o.id }) {
			return true
		}
	}
	return false
}

// below tells whether o is h, or follows it.
func (m *model) below(o, h *host) bool {
	for ; o != m.root; o = o.up.to {
		if o == h {
			return true
		}
		if o.up == nil {
			return false
		}
	}
	return false
}

// cut ends a relay's stream on its side.
func (m *model) cut(h *host) {
	if h.up == nil {
		return
	}
	h.up.below.Close()
	m.lingering = append(m.lingering, h.up)
	h.up = nil
}

func (m *model) breakStream(*rapid.T) { m.cut(m.relay("breaks", connected)) }

// kill ends a process, and the streams to it.
func (m *model) kill(*rapid.T) { m.end(m.relay("is killed", running)) }

func (m *model) end(h *host) {
	m.cut(h)
	h.boot = ""
	for _, o := range m.relays {
		if o.up != nil && o.up.to == h {
			o.up.below.Close()
			o.up = nil
		}
	}
}

// stop ends a process in an orderly way: all it has sent arrives, and then its end.
func (m *model) stop(*rapid.T) {
	h := m.relay("stops", connected)
	for _, arrive := range h.up.queue {
		arrive()
	}
	h.up.below.Close()
	h.up.branch.Leave(true)
	h.up, h.stopped = nil, true
	m.end(h)
}

func (m *model) ack(*rapid.T) {
	h := m.relay("acknowledges", connected)
	h.revision++
	h.acked = h.revision
	up, c := h.up, cursor(h.revision)
	up.queue = append(up.queue, func() { up.branch.Ack("e", c, tree.Rejections{}) })
}

// report sends what is new below, and the relay's own ages.
func (m *model) report(*rapid.T) { m.send(m.relay("reports", connected)) }

func (m *model) send(h *host) {
	up := h.up
	for r := up.below.Take(); r != nil; r = up.below.Take() {
		up.queue = append(up.queue, func() { m.take(up, r) })
	}
	own := &syncv1.Report{Relays: []*syncv1.RelayStatus{{InstanceId: h.id, Streams: uint32(h.tree.Streams())}}}
	up.queue = append(up.queue, func() { m.take(up, own) })
}

func (m *model) take(s *stream, r *syncv1.Report) {
	if err := s.branch.Report(r); err != nil {
		m.t.Fatalf("%s to %s: %v", s.from.id, s.to.id, err)
	}
}

// arrive delivers the oldest message of a stream, also of one that has ended.
func (m *model) arrive(*rapid.T) {
	streams := slices.Clone(m.lingering)
	for _, h := range m.relays {
		if h.up != nil {
			streams = append(streams, h.up)
		}
	}
	streams = slices.DeleteFunc(streams, func(s *stream) bool { return len(s.queue) == 0 })
	if len(streams) == 0 {
		m.t.Skip("nothing is on its way")
	}
	i := rapid.IntRange(0, len(streams)-1).Draw(m.t, "arrives")
	streams[i].queue[0]()
	streams[i].queue = streams[i].queue[1:]
}

// notice ends a stream on the other side.
func (m *model) notice(*rapid.T) {
	if len(m.lingering) == 0 {
		m.t.Skip("no stream has ended")
	}
	i := rapid.IntRange(0, len(m.lingering)-1).Draw(m.t, "is noticed")
	m.lingering[i].branch.Leave(false)
	m.lingering = slices.Delete(m.lingering, i, i+1)
}

// look takes what the root's tree shows. It is never more than relays have had.
func (m *model) look(*rapid.T) {
	for r := m.watch.Take(); r != nil; r = m.watch.Take() {
		for _, s := range r.GetRelays() {
			m.view[s.GetInstanceId()] = s
		}
		for _, d := range r.GetDepartures() {
			delete(m.view, d.GetInstanceId())
			m.left[d.GetInstanceId()] = d.GetLeft()
		}
	}
	for _, h := range m.relays {
		s := m.view[h.id]
		if got := s.GetEnvironments(); len(got) > 0 && got[0].GetCursor().GetRevision() > h.revision {
			m.t.Fatalf("%s has revision %d, and is said to have %v", h.id, h.revision, got)
		}
	}
}

// arriveAll lets everything arrive that is sent over streams that live.
func (m *model) arriveAll() {
	for range len(m.relays) { // as often as there can be hops
		for _, h := range m.relays {
			if h.up == nil {
				continue
			}
			m.send(h)
			for _, arrive := range h.up.queue {
				arrive()
			}
			h.up.queue = nil
		}
	}
	m.look(m.t)
}

// checkLingering checks that streams whose end was not noticed yet do not count.
func (m *model) checkLingering(*rapid.T) {
	m.arriveAll()
	for _, h := range m.relays {
		s := m.view[h.id]
		switch {
		case m.depth(h) == 0:
		case s == nil:
			m.t.Fatalf("%s is not known", h.id)
		case s.GetBootId() == h.boot && (s.GetStreamNumber() != h.streams || s.GetEnvironments()[0].GetCursor().GetRevision() != h.acked):
			m.t.Fatalf("of %s, stream %d at revision %d, this is known: %v", h.id, h.streams, h.acked, s)
		}
	}
}

func (m *model) check() {
	for _, s := range m.lingering {
		s.branch.Leave(false)
	}
	m.lingering = nil
	m.arriveAll()
	want := make(map[string]string)
	for _, h := range m.relays {
		if m.depth(h) > 0 {
			want[h.id] = fmt.Sprintf("%s %d below %s, %d followers, at %d", h.boot, h.streams, h.up.to.id, h.tree.Streams(), h.acked)
		}
	}
	got := make(map[string]string)
	for id, s := range m.view {
		got[id] = fmt.Sprintf("%s %d below %s, %d followers, at %d", s.GetBootId(), s.GetStreamNumber(), s.GetUpstream(), s.GetStreams(),
			s.GetEnvironments()[0].GetCursor().GetRevision())
	}
	if !maps.Equal(got, want) {
		m.t.Fatalf("the root knows\n%v\nthere are\n%v", got, want)
	}
	for _, h := range m.relays {
		if _, there := got[h.id]; !there && m.left[h.id] && !h.stopped {
			m.t.Fatalf("%s is said to have left by itself", h.id)
		}
	}
}

func cursor(revision int64) snapshot.Cursor {
	return snapshot.Cursor{Epoch: snapshot.Epoch{Counter: 1}, Revision: revision}
}

func TestTreeIsAsItIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"start": m.start, "connect": m.connect, "connect again": m.connect, "break": m.breakStream, "kill": m.kill, "stop": m.stop,
			"ack": m.ack, "ack again": m.ack, "report": m.report, "report again": m.report,
			"arrive": m.arrive, "arrive again": m.arrive, "notice": m.notice, "look": m.look,
			"settle": func(*rapid.T) { m.check() }, "settle what lives": m.checkLingering,
		})
		m.check()
	})
}

package streamcheck

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/streamlog"
)

// TestRandom makes runs in which everything is as promised, which must pass, and then
// changes one record of them, which must be caught.
func TestRandom(t *testing.T) {
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			applied := 0
			rapid.Check(t, func(rt *rapid.T) {
				run, o := randomRun(t, rt), Options{Within: time.Hour}
				if err := Check(run, o).Err(); err != nil {
					rt.Fatal(err)
				}
				if !m.apply(rt, run) {
					return // the run has nothing of the kind
				}
				applied++
				if report := Check(run, o); !slices.ContainsFunc(m.caught, func(g Guarantee) bool { return report.Violated[g] > 0 }) {
					rt.Fatalf("not caught: %s", report)
				}
			})
			if applied == 0 {
				t.Error("no run had anything to change")
			}
		})
	}
}

func randomRun(t *testing.T, rt *rapid.T) *Run {
	b := newBuilder(t)
	b.put("a", "b")
	procs := []*proc{b.process("server", false), b.process("relay-1", true), b.process("relay-2", true)}
	for _, p := range procs {
		catchUp(p, true)
	}
	for range rapid.IntRange(1, 30).Draw(rt, "steps") {
		storeStep(rt, b)
		procStep(rt, procs[rapid.IntRange(0, 2).Draw(rt, "process")])
	}
	b.put("last")
	for _, p := range procs {
		catchUp(p, true)
	}
	return b.run()
}

func storeStep(t *rapid.T, b *builder) {
	names := []string{"a", "b", "c", "d"}
	switch rapid.IntRange(0, 7).Draw(t, "store") {
	case 0, 1, 2:
		b.put(rapid.SampledFrom(names).Draw(t, "key"))
	case 3:
		b.put("c", "d")
	case 4:
		name := rapid.SampledFrom(names).Draw(t, "key")
		if h := b.truth.lives[b.life-1].environments[b.env]; h.items[ID{1, name}].revision != 0 {
			b.del(name)
		}
	case 5:
		b.newEpoch()
	case 6:
		b.other()
	}
}

func procStep(t *rapid.T, p *proc) {
	switch rapid.IntRange(0, 3).Draw(t, "step") {
	case 0, 1:
		catchUp(p, false)
	case 2:
		if p.shown != (streamlog.Cursor{}) {
			p.sync()
			p.ack(p.shown)
		}
	case 3:
		last := p.shown
		p.start()
		if p.durable && last != (streamlog.Cursor{}) {
			p.restore(last)
		}
	}
}

// catchUp brings a process to the store's state, or says that it is there.
func catchUp(p *proc, finally bool) {
	head := p.head()
	switch {
	case p.shown.Epoch != head.Epoch:
		p.resume(streamlog.ModeFull, head, head)
		p.full(head)
	case p.shown.Revision == head.Revision:
		p.confirm(0)
	case p.shown.Digest == head.Digest:
		p.resume(streamlog.ModeNone, p.shown, head)
		p.advance(head)
	default:
		p.resume(streamlog.ModeDelta, p.shown, head)
		p.delta(head)
	}
	if finally && p.durable {
		p.sync()
		p.ack(p.shown)
	}
}

// mutation is a fault as it shows in the logs.
type mutation struct {
	name   string
	caught []Guarantee // by one of them
	events []streamlog.Event
	// change is given the log and the index of a record of the events; false: this one
	// makes no difference.
	change func(log *[]streamlog.Record, n int) bool
}

// apply changes one record, chosen at random.
func (m mutation) apply(t *rapid.T, run *Run) bool {
	var places [][2]int
	for l, log := range run.Logs {
		for n, r := range log {
			if slices.Contains(m.events, r.Event) {
				places = append(places, [2]int{l, n})
			}
		}
	}
	if len(places) == 0 {
		return false
	}
	place := places[rapid.IntRange(0, len(places)-1).Draw(t, "record")]
	return m.change(&run.Logs[place[0]], place[1])
}

var shows = []streamlog.Event{streamlog.Restore, streamlog.Full, streamlog.Delta, streamlog.Advance}

// goesOn tells whether the state of a record is built upon in the same run.
func goesOn(log []streamlog.Record, n int) bool {
	for _, r := range log[n+1:] {
		switch r.Event {
		case streamlog.Delta, streamlog.Advance, streamlog.Confirm:
			return true
		case streamlog.Full, streamlog.Start:
			return false
		}
	}
	return true // it is the last
}

// remove takes a record away, and hides that.
func remove(log *[]streamlog.Record, n int) bool {
	*log = slices.Delete(*log, n, n+1)
	for i := n; i < len(*log) && (*log)[i].Event != streamlog.Start; i++ {
		(*log)[i].Sequence--
		if (*log)[i].Covers > 0 {
			(*log)[i].Covers--
		}
	}
	return true
}

var mutations = []mutation{
	{"a record is lost", []Guarantee{Complete}, append(shows, streamlog.Ack, streamlog.Sync), func(log *[]streamlog.Record, n int) bool {
		inside := n+1 < len(*log) && (*log)[n+1].Event != streamlog.Start
		*log = slices.Delete(*log, n, n+1)
		return inside // what is lost at the end of a run is not missed
	}},
	{"a change is not shown", []Guarantee{Reliable, Convergence, Unique, Atomic, Resumable, Durable}, []streamlog.Event{streamlog.Delta}, func(log *[]streamlog.Record, n int) bool {
		return goesOn(*log, n) && remove(log, n)
	}},
	{"a change is shown twice", []Guarantee{Unique}, []streamlog.Event{streamlog.Delta}, func(log *[]streamlog.Record, n int) bool {
		*log = slices.Insert(*log, n, (*log)[n])
		return true
	}},
	{"half of a change", []Guarantee{Reliable}, []streamlog.Event{streamlog.Delta}, func(log *[]streamlog.Record, n int) bool {
		r := &(*log)[n]
		if len(r.Puts) > 0 {
			r.Puts = r.Puts[1:]
			return true
		}
		r.Deletes = nil
		return true
	}},
	{"what is held is not what is said", []Guarantee{Atomic, Bookmarkable}, shows, func(log *[]streamlog.Record, n int) bool {
		(*log)[n].Held = fmt.Sprintf("%032x", n)
		return true
	}},
	{"a state that never was", []Guarantee{Atomic, Bookmarkable}, shows, func(log *[]streamlog.Record, n int) bool {
		c := *(*log)[n].Cursor
		c.Digest = fmt.Sprintf("%032x", n)
		(*log)[n].Cursor, (*log)[n].Held = &c, c.Digest
		return true
	}},
	{"the revision of the past", []Guarantee{Ordered, Unique, Atomic, Bookmarkable, Resumable, Durable}, []streamlog.Event{streamlog.Delta, streamlog.Advance}, func(log *[]streamlog.Record, n int) bool {
		c := *(*log)[n].Cursor
		c.Revision = 1
		(*log)[n].Cursor = &c
		return true
	}},
	{"a revision of the future", []Guarantee{Atomic, Bookmarkable}, shows, func(log *[]streamlog.Record, n int) bool {
		c := *(*log)[n].Cursor
		c.Revision += 1 << 40
		(*log)[n].Cursor = &c
		return true
	}},
	{"the wrong epoch", []Guarantee{Atomic, Bookmarkable}, shows, func(log *[]streamlog.Record, n int) bool {
		c := *(*log)[n].Cursor
		c.Epoch = "1-0000000000000001"
		(*log)[n].Cursor = &c
		return true
	}},
	{"not written before it is shown", []Guarantee{Durable}, []streamlog.Event{streamlog.Append}, remove},
	{"not synced before it is acknowledged", []Guarantee{Durable}, []streamlog.Event{streamlog.Sync}, func(log *[]streamlog.Record, n int) bool {
		ack := (*log)[n+1]
		if ack.Event != streamlog.Ack {
			return false
		}
		for i := n - 1; i >= 0 && (*log)[i].Event != streamlog.Start; i-- {
			switch r := (*log)[i]; {
			case r.Event == streamlog.Sync:
				return false // it was synced already
			case r.Event == streamlog.Restore && *r.Cursor == *ack.Cursor:
				return false // it is from the disk
			case r.Event == streamlog.Append && *r.Cursor == *ack.Cursor:
				(*log)[n].Error = "no"
				return true
			}
		}
		return false
	}},
	{"resumed from another state", []Guarantee{Resumable}, []streamlog.Event{streamlog.Resume}, func(log *[]streamlog.Record, n int) bool {
		if (*log)[n].Base == nil {
			return false
		}
		c := *(*log)[n].Base
		c.Digest = fmt.Sprintf("%032x", n)
		(*log)[n].Base = &c
		return true
	}},
	{"a restart forgets", []Guarantee{Durable, Ordered}, []streamlog.Event{streamlog.Restore}, func(log *[]streamlog.Record, n int) bool {
		appended := slices.ContainsFunc((*log)[:n], func(r streamlog.Record) bool { return r.Event == streamlog.Append })
		(*log)[n].Event = streamlog.Full
		return appended
	}},
}

package streamcheck

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/streamlog"
)

// begin is a store with two flags and a relay with a state directory that shows them.
func begin(t *testing.T) (*builder, *proc) {
	t.Helper()
	b := newBuilder(t)
	b.put("a")
	b.put("b")
	p := b.process("relay", true)
	p.full(b.head())
	return b, p
}

// TestViolations: each of these runs breaks the guarantees named, and no others.
func TestViolations(t *testing.T) {
	for name, tc := range map[string]struct {
		run  func(*builder, *proc)
		want []Guarantee
		o    Options
	}{
		"nothing": {run: func(*builder, *proc) {}},
		"changes": {run: func(b *builder, p *proc) {
			b.put("a", "c")
			p.delta(b.head())
			b.other()
			p.advance(b.head())
			b.del("a")
			b.put("d")
			p.delta(b.head())
			p.confirm(0)
		}},
		"from the same state at a later revision": {run: func(b *builder, p *proc) {
			b.other()
			base := b.head()
			b.put("c")
			c := p.change(b.head())
			c.Base = &base
			p.show(c, b.head())
		}},
		"put and deleted in between": {run: func(b *builder, p *proc) {
			b.put("c")
			b.del("c")
			p.advance(b.head())
		}},

		"a record is missing": {run: func(b *builder, p *proc) {
			b.put("a")
			p.sequence++
			p.delta(b.head())
		}, want: []Guarantee{Complete}},
		"another process writes too": {run: func(_ *builder, p *proc) {
			p.boot = "another"
			p.confirm(0)
		}, want: []Guarantee{Complete}},

		"back": {run: func(b *builder, p *proc) {
			b.put("a")
			p.delta(b.head())
			p.full(b.cursorAt(b.rev - 1))
			p.full(b.head())
		}, want: []Guarantee{Ordered, Unique}},
		"a change back": {run: func(b *builder, p *proc) {
			old := p.shown
			b.put("a")
			p.delta(b.head())
			base := p.shown
			p.show(streamlog.Record{Event: streamlog.Delta, Base: &base}, old)
			p.delta(b.head())
		}, want: []Guarantee{Ordered, Unique}},
		"back to an epoch": {run: func(b *builder, p *proc) {
			old := b.head()
			b.newEpoch()
			p.full(b.head())
			p.full(old)
			p.full(b.head())
		}, want: []Guarantee{Ordered}},
		"a new epoch": {run: func(b *builder, p *proc) {
			b.newEpoch()
			p.full(b.head())
		}},
		"the new epoch was not noticed yet": {run: func(b *builder, p *proc) {
			old := b.epoch
			b.newEpoch()
			b.put("a")
			c := b.head()
			c.Epoch = old
			p.delta(c)
			p.full(b.head())
		}},

		"again": {run: func(b *builder, p *proc) {
			b.put("a")
			p.delta(b.head())
			p.full(b.head())
		}, want: []Guarantee{Unique}},
		"an item again": {run: func(b *builder, p *proc) {
			b.put("c")
			r := p.change(b.head())
			r.Puts = append(r.Puts, streamlog.Item{Kind: 1, Key: "a", ModRevision: 2})
			p.show(r, b.head())
		}, want: []Guarantee{Unique}},

		"half a transaction": {run: func(b *builder, p *proc) {
			b.put("c", "d")
			h := b.truth.lives[0].environments[b.env]
			half := b.head()
			half.Digest = h.versions[len(h.versions)-1].sum.Minus(h.items[ID{1, "d"}].sum).String()
			r := p.change(b.head())
			r.Puts = slices.DeleteFunc(r.Puts, func(i streamlog.Item) bool { return i.Key == "d" })
			p.show(r, half)
			b.other()
			p.full(b.head())
		}, want: []Guarantee{Atomic}},
		"a cursor that lies": {run: func(b *builder, p *proc) {
			b.put("a")
			r := p.change(b.head())
			r.Held = b.cursorAt(b.rev - 1).Digest
			p.show(r, b.head())
		}, want: []Guarantee{Atomic}},
		"what never was": {run: func(b *builder, p *proc) {
			b.put("a")
			c := b.head()
			c.Digest = strings.Repeat("ab", 16)
			p.show(p.change(b.head()), c)
		}, want: []Guarantee{Atomic, Convergence}},
		"an epoch that never was": {run: func(b *builder, p *proc) {
			c := b.head()
			c.Epoch = "9-00000000000000ff"
			p.full(c)
		}, want: []Guarantee{Atomic, Convergence}},
		"an epoch that was not yet": {run: func(b *builder, p *proc) {
			early := b.rev
			b.newEpoch()
			p.full(b.cursorAt(early))
		}, want: []Guarantee{Atomic}},
		"of the future": {run: func(b *builder, p *proc) {
			p.advance(b.cursorAt(b.rev + 1))
		}, want: []Guarantee{Bookmarkable}},

		"a lost delete": {run: func(b *builder, p *proc) {
			b.put("c")
			b.del("a")
			r := p.change(b.head())
			r.Deletes = nil
			p.show(r, b.head())
		}, want: []Guarantee{Reliable}},
		"a lost change": {run: func(b *builder, p *proc) {
			b.put("a")
			b.put("c")
			middle := b.cursorAt(b.rev - 1)
			r := p.change(b.head())
			r.Base = &middle
			p.show(r, b.head())
		}, want: []Guarantee{Reliable}},
		"a change as an advance": {run: func(b *builder, p *proc) {
			b.put("a")
			p.advance(b.head())
		}, want: []Guarantee{Reliable}},

		"resumed": {run: func(b *builder, p *proc) {
			p.resume(streamlog.ModeNone, p.shown, b.head())
			b.put("a")
			p.resume(streamlog.ModeDelta, p.shown, b.head())
			p.delta(b.head())
			p.resume(streamlog.ModeFull, p.shown, b.head())
		}},
		"resumed from elsewhere": {run: func(b *builder, p *proc) {
			b.put("a")
			b.put("a")
			p.resume(streamlog.ModeDelta, b.cursorAt(b.rev-1), b.head())
			p.delta(b.head())
		}, want: []Guarantee{Resumable}},
		"resumed across epochs": {run: func(b *builder, p *proc) {
			b.newEpoch()
			base := p.shown
			base.Epoch = "9-00000000000000ff"
			p.resume(streamlog.ModeNone, base, b.head())
			p.full(b.head())
		}, want: []Guarantee{Resumable}},
		"resumed across a restored backup": {run: func(b *builder, p *proc) {
			b.put("a")
			p.delta(b.head())
			b.restoreBackup(b.rev - 1)
			b.put("c")
			b.put("d")
			p.resume(streamlog.ModeDelta, p.shown, b.head())
			p.delta(b.head())
		}, want: []Guarantee{Resumable, Reliable}},
		"a restored backup, in full": {run: func(b *builder, p *proc) {
			b.put("a")
			p.delta(b.head())
			b.restoreBackup(b.rev - 1)
			b.put("c")
			b.put("d")
			p.resume(streamlog.ModeFull, p.shown, b.head())
			base := p.shown
			p.show(streamlog.Record{Event: streamlog.Delta, Base: &base, Puts: []streamlog.Item{
				{Kind: 1, Key: "a", ModRevision: 2}, {Kind: 1, Key: "c", ModRevision: 4}, {Kind: 1, Key: "d", ModRevision: 5},
			}}, b.head())
		}},
		"an epoch across a restored backup": {run: func(b *builder, p *proc) {
			b.put("a")
			p.delta(b.head())
			b.restoreBackup(b.rev - 1)
			b.newEpoch()
			p.full(b.head())
		}},

		"passed over a change": {run: func(b *builder, p *proc) {
			b.put("c")
			p.advance(streamlog.Cursor{Epoch: b.epoch, Revision: b.rev, Digest: p.shown.Digest})
			b.del("c")
			p.advance(b.head())
		}, want: []Guarantee{Bookmarkable}},

		"shown before it is written": {run: func(b *builder, p *proc) {
			b.put("a")
			r := p.change(b.head())
			p.durable = false
			p.show(r, b.head())
		}, want: []Guarantee{Durable}},
		"acknowledged": {run: func(_ *builder, p *proc) {
			p.sync()
			p.ack(p.shown)
		}},
		"acknowledged before it is synced": {run: func(b *builder, p *proc) {
			p.sync()
			b.put("a")
			p.delta(b.head())
			p.ack(p.shown)
		}, want: []Guarantee{Durable}},
		"synced while it was appended": {run: func(b *builder, p *proc) {
			covered := p.sequence
			b.put("a")
			p.delta(b.head())
			p.write(streamlog.Record{Event: streamlog.Sync, Covers: covered})
			p.ack(p.shown)
		}, want: []Guarantee{Durable}},
		"acknowledged though the sync failed": {run: func(_ *builder, p *proc) {
			p.write(streamlog.Record{Event: streamlog.Sync, Covers: p.sequence, Error: "no"})
			p.ack(p.shown)
		}, want: []Guarantee{Durable}},
		"acknowledged and never shown": {run: func(b *builder, p *proc) {
			b.put("a")
			c := b.head()
			p.write(streamlog.Record{Event: streamlog.Append, Cursor: &c})
			p.sync()
			p.ack(c)
			p.delta(c)
		}, want: []Guarantee{Durable}},

		"restarted": {run: func(b *builder, p *proc) {
			p.sync()
			p.ack(p.shown)
			last := p.shown
			p.start()
			p.restore(last)
			p.resume(streamlog.ModeNone, last, b.head())
			p.ack(last)
		}},
		"restarted with less than was shown": {run: func(b *builder, p *proc) {
			b.put("a")
			p.delta(b.head())
			p.start()
			p.restore(b.cursorAt(b.rev - 1))
			p.delta(b.head())
		}, want: []Guarantee{Ordered}},
		"restarted with less than was acknowledged": {run: func(b *builder, p *proc) {
			b.put("a")
			p.delta(b.head())
			p.sync()
			p.ack(b.head())
			p.start()
			p.restore(b.cursorAt(b.rev - 1))
			p.delta(b.head())
		}, want: []Guarantee{Ordered, Durable}},
		"restarted with nothing": {run: func(b *builder, p *proc) {
			p.sync()
			p.ack(p.shown)
			p.start()
			p.full(b.head())
		}, want: []Guarantee{Ordered, Durable}},
		"restarted with nothing, for it was damaged": {run: func(b *builder, p *proc) {
			p.start()
			p.full(b.head())
		}, o: Options{Damaged: []string{"relay"}}},
		"restarted in an earlier epoch": {run: func(b *builder, p *proc) {
			old := p.shown
			b.newEpoch()
			p.full(b.head())
			p.start()
			p.restore(old)
			p.full(b.head())
		}, want: []Guarantee{Ordered}},
		"the disk was full": {run: func(b *builder, p *proc) {
			old := p.shown
			b.put("a")
			c, r := b.head(), p.change(b.head())
			p.write(streamlog.Record{Event: streamlog.Append, Cursor: &c, Error: "disk full"})
			p.durable = false
			p.show(r, c)
			p.durable = true
			p.start()
			p.restore(old)
			p.delta(c)
		}},
		"taken away": {run: func(b *builder, p *proc) {
			p.write(streamlog.Record{Event: streamlog.Purge})
			p.write(streamlog.Record{Event: streamlog.Forget})
			p.start()
			p.full(b.head())
		}},
		"taken away, and killed before the disk was told": {run: func(_ *builder, p *proc) {
			last := p.shown
			p.write(streamlog.Record{Event: streamlog.Purge})
			p.start()
			p.restore(last)
		}},
		"forgotten, and back": {run: func(_ *builder, p *proc) {
			last := p.shown
			p.write(streamlog.Record{Event: streamlog.Purge})
			p.write(streamlog.Record{Event: streamlog.Forget})
			p.start()
			p.restore(last)
		}, want: []Guarantee{Durable}},

		"an honest age": {run: func(b *builder, p *proc) {
			b.put("a")
			b.tick(time.Minute)
			p.confirm(time.Minute)
			p.delta(b.head())
		}, o: Options{Within: time.Hour}},
		"a state that is called fresh": {run: func(b *builder, p *proc) {
			b.put("a")
			b.tick(time.Minute)
			p.confirm(50 * time.Second)
			p.delta(b.head())
		}, want: []Guarantee{Age}, o: Options{Within: time.Hour}},
		"a state from disk that is called fresh": {run: func(b *builder, p *proc) {
			last := p.shown
			b.put("a")
			b.tick(time.Minute)
			p.start()
			p.show(streamlog.Record{Event: streamlog.Restore, AgeFrom: streamlog.FromDisk}, last)
			p.delta(b.head())
		}, want: []Guarantee{Age}, o: Options{Within: time.Hour}},
		"a state from disk, by a clock that was set": {run: func(b *builder, p *proc) {
			last := p.shown
			b.put("a")
			b.tick(time.Minute)
			p.start()
			p.show(streamlog.Record{Event: streamlog.Restore, AgeFrom: streamlog.FromDisk}, last)
			p.delta(b.head())
		}, o: Options{ClocksSet: true, Within: time.Hour}},

		"behind in the end":          {run: func(b *builder, _ *proc) { b.put("a") }, want: []Guarantee{Convergence}},
		"behind in the end and gone": {run: func(b *builder, _ *proc) { b.put("a"); b.process("server", false).full(b.head()) }, o: Options{Gone: []string{"relay"}}},
		"with nothing in the end":    {run: func(b *builder, _ *proc) { b.process("sdk", false) }, want: []Guarantee{Convergence}},
		"late": {run: func(b *builder, p *proc) {
			b.put("a")
			b.tick(time.Minute)
			p.delta(b.head())
		}, want: []Guarantee{Convergence}},
		"late, for a fault": {run: func(b *builder, p *proc) {
			b.put("a")
			b.tick(time.Minute)
			p.delta(b.head())
		}, o: Options{Settled: int64(time.Hour + time.Minute)}},
	} {
		t.Run(name, func(t *testing.T) {
			b, p := begin(t)
			tc.run(b, p)
			report := Check(b.run(), tc.o)
			for _, g := range []Guarantee{Complete, Ordered, Unique, Atomic, Reliable, Resumable, Bookmarkable, Durable, Age, Convergence} {
				if want := slices.Contains(tc.want, g); want != (report.Violated[g] > 0) {
					t.Errorf("%s violated: %v, want %v", g, !want, want)
				}
				if slices.Contains(tc.want, g) && !errors.Is(report.Err(), g) {
					t.Errorf("the error is not %s", g)
				}
			}
			if t.Failed() {
				t.Log(report, report.Err())
			}
			for _, v := range report.Violations {
				if len(v.Records) == 0 || v.Reason == "" || !strings.Contains(v.Error(), v.Records[0].Run) {
					t.Errorf("a violation that shows nothing: %v", v)
				}
			}
		})
	}
}

func TestNothingChecked(t *testing.T) {
	if err := Check(&Run{Truth: &Truth{}}, Options{}).Err(); err == nil {
		t.Error("an empty run passes")
	}
	b, p := begin(t)
	p.ack(p.shown)
	if err := Check(b.run(), Options{Require: []Guarantee{Resumable}}).Err(); err == nil || !strings.Contains(err.Error(), "nothing was checked for Resumable") {
		t.Error(err)
	}
}

func TestLogWithoutStart(t *testing.T) {
	b, p := begin(t)
	p.log = p.log[1:]
	b.process("other", false).full(b.head())
	if err := Check(b.run(), Options{}).Err(); !errors.Is(err, Complete) {
		t.Error(err)
	}
}

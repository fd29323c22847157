package streamcheck

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/streamlog"
)

// builder makes runs by hand: a store, and processes that show what it holds.
type builder struct {
	tb     testing.TB
	truth  *Truth
	life   int
	epoch  string
	now    int64 // of the clock
	rev    int64
	boots  int
	procs  []*proc
	env    string
	epochs int
}

func newBuilder(tb testing.TB) *builder {
	b := &builder{tb: tb, truth: &Truth{}, env: "production", now: int64(time.Hour)}
	b.add(Entry{Life: 1, Begin: true})
	b.life = 1
	b.newEpoch()
	return b
}

func (b *builder) add(e Entry) {
	b.tb.Helper()
	if err := b.truth.Add(e); err != nil {
		b.tb.Fatal(err)
	}
}

// commit is a transaction.
func (b *builder) commit(changes ...Change) {
	b.tb.Helper()
	b.rev++
	b.tick(time.Millisecond)
	b.add(Entry{Life: b.life, Revision: b.rev, Mono: b.now, Changes: changes})
}

func (b *builder) tick(d time.Duration) { b.now += int64(d) }

func (b *builder) newEpoch() {
	b.epochs++
	b.commit(Change{Key: epochKey, Value: fmt.Appendf(nil, `{"counter":%d,"random":"00000000000000ff"}`, b.epochs)})
	b.epoch = fmt.Sprintf("%d-00000000000000ff", b.epochs)
}

func (b *builder) key(name string) string { return stateRoot + b.env + "/f/" + name }

func (b *builder) put(names ...string) {
	b.tb.Helper()
	var changes []Change
	for _, n := range names {
		changes = append(changes, Change{Key: b.key(n), Value: fmt.Appendf(nil, "%s at %d", n, b.rev)})
	}
	b.commit(changes...)
}

func (b *builder) del(name string) {
	b.tb.Helper()
	b.commit(Change{Key: b.key(name), Deleted: true})
}

// other is a change that is not of the environment.
func (b *builder) other() {
	b.rev++
	b.add(Entry{Life: b.life, Revision: b.rev})
}

// restoreBackup goes back to a revision.
func (b *builder) restoreBackup(revision int64) {
	b.add(Entry{Life: b.life + 1, Begin: true, Of: b.life, At: revision})
	b.life++
	b.rev = revision
}

// cursorAt is the store's state at a revision of the present life.
func (b *builder) cursorAt(revision int64) streamlog.Cursor {
	return streamlog.Cursor{Epoch: b.epoch, Revision: revision, Digest: b.truth.lives[b.life-1].sumAt(b.env, revision).String()}
}

func (b *builder) head() streamlog.Cursor { return b.cursorAt(b.rev) }

// run is what there is to check.
func (b *builder) run() *Run {
	run := &Run{Truth: b.truth}
	for _, p := range b.procs {
		run.Logs = append(run.Logs, slices.Clone(p.log))
	}
	return run
}

// proc is a process with its log.
type proc struct {
	*builder
	instance string
	durable  bool
	log      []streamlog.Record
	boot     string
	sequence uint64
	shown    streamlog.Cursor
}

func (b *builder) process(instance string, durable bool) *proc {
	p := &proc{builder: b, instance: instance, durable: durable}
	b.procs = append(b.procs, p)
	p.start()
	return p
}

func (p *proc) write(r streamlog.Record) {
	p.sequence++
	p.tick(time.Millisecond)
	r.Sequence, r.Run, r.Mono = p.sequence, p.boot, p.now
	if r.Event != streamlog.Start && r.Event != streamlog.End {
		r.Environment = p.env
	}
	p.log = append(p.log, r)
}

// start begins a run; whatever was before was killed.
func (p *proc) start() {
	p.boots++
	p.boot, p.sequence, p.shown = fmt.Sprint(p.boots), 0, streamlog.Cursor{}
	p.write(streamlog.Record{Event: streamlog.Start, Process: &streamlog.Process{
		Instance: p.instance, Kind: "relay", Environments: []string{p.env}, Durable: p.durable,
	}})
}

// show shows a state as the store's of just now.
func (p *proc) show(r streamlog.Record, c streamlog.Cursor) {
	if p.durable && r.Event != streamlog.Restore && r.Event != streamlog.Confirm {
		p.write(streamlog.Record{Event: streamlog.Append, Cursor: &c})
	}
	r.Cursor, p.shown = &c, c
	if r.Held == "" {
		r.Held = c.Digest
	}
	if r.AgeFrom == "" {
		r.AgeFrom = streamlog.FromArrival
	}
	p.write(r)
}

func (p *proc) full(c streamlog.Cursor) { p.show(streamlog.Record{Event: streamlog.Full}, c) }

func (p *proc) restore(c streamlog.Cursor) { p.show(streamlog.Record{Event: streamlog.Restore}, c) }

// change is the record of a change from what is shown to a state of the present life.
func (p *proc) change(to streamlog.Cursor) streamlog.Record {
	base := p.shown
	r := streamlog.Record{Event: streamlog.Delta, Base: &base}
	for id, d := range p.truth.lives[p.life-1].difference(p.env, base.Revision, to.Revision) {
		i := streamlog.Item{Kind: id.Kind, Key: id.Key, ModRevision: d[1]}
		if d[1] == 0 {
			i.ModRevision = d[0]
			r.Deletes = append(r.Deletes, i)
		} else {
			r.Puts = append(r.Puts, i)
		}
	}
	return r
}

func (p *proc) delta(to streamlog.Cursor) { p.show(p.change(to), to) }

func (p *proc) advance(to streamlog.Cursor) {
	p.show(streamlog.Record{Event: streamlog.Advance, AgeFrom: streamlog.FromStore}, to)
}

func (p *proc) confirm(age time.Duration) {
	p.show(streamlog.Record{Event: streamlog.Confirm, AgeFrom: streamlog.FromStore, Age: int64(age)}, p.shown)
}

func (p *proc) resume(mode string, base, to streamlog.Cursor) {
	r := streamlog.Record{Event: streamlog.Resume, Mode: mode, Cursor: &to}
	if mode != streamlog.ModeFull {
		r.Base = &base
	}
	p.write(r)
}

func (p *proc) sync() {
	p.write(streamlog.Record{Event: streamlog.Sync, Covers: p.sequence})
}

func (p *proc) ack(c streamlog.Cursor) { p.write(streamlog.Record{Event: streamlog.Ack, Cursor: &c}) }

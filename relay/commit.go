package relay

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/spool"
)

// commitGroup are calls that wait for one commit.
type commitGroup struct {
	environments map[*counted]bool
	marks        map[senderKey]*telemetryv1.Sender
	done         chan struct{}
	// err is why it is not known to be durable; set before done is closed.
	err error
}

func newCommitGroup() *commitGroup {
	return &commitGroup{
		environments: map[*counted]bool{}, marks: map[senderKey]*telemetryv1.Sender{}, done: make(chan struct{}),
	}
}

// cut commits when somebody waits, and at the end of each second.
func (t *telemetry) cut(ctx context.Context) {
	second := time.NewTimer(untilSecond(time.Now()))
	defer second.Stop()
	var due <-chan time.Time
	last := time.Now().Add(-commitEvery)
	for {
		select {
		case <-ctx.Done():
			t.end()
			return
		case <-t.wake:
			if due == nil {
				due = time.After(max(commitEvery-time.Since(last), 0))
			}
			continue
		case <-due:
			t.commit(time.Now(), false)
		case <-second.C:
			now := time.Now()
			t.commit(now, true)
			for _, c := range t.environments {
				c.judge(now)
			}
			second.Reset(untilSecond(time.Now()))
		}
		due, last = nil, time.Now()
		if t.someoneWaits() {
			due = time.After(commitEvery)
		}
	}
}

// untilSecond is the time until the next whole second, by the wall clock, which windows end
// with.
func untilSecond(now time.Time) time.Duration {
	return now.Truncate(time.Second).Add(time.Second).Sub(now) + time.Millisecond
}

func (t *telemetry) someoneWaits() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.group.environments) > 0
}

// end commits all that there is. Whoever comes later is refused.
func (t *telemetry) end() {
	t.counting.Lock()
	t.closed = true
	for _, c := range t.environments {
		t.group.environments[c] = true
	}
	t.counting.Unlock()
	t.commit(time.Now(), true)
}

// commit spools what was counted: of environments for which somebody waits all of it, with
// second, of the others the windows that are over. It is called by one goroutine.
func (t *telemetry) commit(now time.Time, second bool) {
	g, entries := t.take(now, second)
	defer close(g.done)
	if len(entries) == 0 {
		if t.undeclared == 0 {
			return
		}
		entries = []spool.Entry{{Batch: &telemetryv1.Batch{Environment: t.environments[0].name}}}
	}
	for _, m := range g.marks {
		entries[0].Marks = append(entries[0].Marks, m)
	}
	g.err = t.append(entries)
}

// take takes what is to be committed, and who waits for it.
func (t *telemetry) take(now time.Time, second bool) (g *commitGroup, entries []spool.Entry) {
	t.counting.Lock()
	defer t.counting.Unlock()
	t.mu.Lock()
	g = t.group
	t.group = newCommitGroup()
	t.mu.Unlock()
	for _, c := range t.environments {
		switch {
		case g.environments[c]:
			entries = append(entries, c.entries(c.tally.Flush(now), now)...)
		case second:
			entries = append(entries, c.entries(c.tally.Cut(now), now)...)
		}
	}
	return g, entries
}

// append spools entries, all together: who died in between would have told the marks without
// what was counted, or the reverse.
func (t *telemetry) append(entries []spool.Entry) error {
	exposed := uint64(0)
	for _, c := range t.environments {
		exposed += c.tally.Exposures()
	}
	first := &entries[0]
	first.Lost += t.undeclared
	first.Marks = append(first.Marks, t.exposures.mark(exposed)...)
	if fault.Planted("loss-undeclared") {
		for i := range entries {
			entries[i].Lost = 0
		}
	}
	_, err := t.spool.AppendAll(entries)
	if err != nil {
		t.undeclared = 0
		for _, e := range entries {
			t.undeclared += e.Lost + e.Counted
		}
		t.logger.Error().Err(err).Uint64("events", t.undeclared).Msg("telemetry is lost: it cannot be spooled")
		return err
	}
	t.undeclared = 0
	t.exposures.told(exposed)
	return nil
}

// entries makes entries of what was cut, and notes it for the breakers. What says nothing is
// left out, but for a sign of life now and then.
func (c *counted) entries(batches []*telemetryv1.Batch, now time.Time) []spool.Entry {
	if trips := c.edge.take(maxTripsTold); len(trips) > 0 {
		batches = append(batches, &telemetryv1.Batch{Environment: c.name, Trips: trips})
	}
	if uses := c.uses.Take(now, maxKeysTold); len(uses) > 0 {
		batches = append(batches, &telemetryv1.Batch{Environment: c.name, KeyUses: uses})
	}
	var list []spool.Entry
	for _, b := range batches {
		e := spool.Entry{Batch: b, Counted: b.GetTally().GetCounted()}
		if b.GetTally() != nil {
			e.Lost = b.GetTally().GetLost() - c.lost
			c.lost = b.GetTally().GetLost()
		}
		b.Tally = nil
		c.windows = append(c.windows, b.GetWindows()...)
		if n := proto.Size(b); n > spool.MaxBatchBytes {
			c.logger.Error().Int("bytes", n).Uint64("events", e.Counted).
				Msg("telemetry is lost: what one step of a rollout counted is more than a batch takes")
			e.Lost, e.Counted = e.Lost+e.Counted, 0
			b.Windows, b.Evaluations = nil, nil
		}
		silent := len(b.GetWindows()) == 0 && len(b.GetEvaluations()) == 0 && len(b.GetTrips()) == 0 &&
			len(b.GetKeyUses()) == 0 && e.Lost == 0
		// A little less: what was told at the end of a second is told again at that of another.
		if silent && now.Sub(c.told) < freshEvery-commitEvery {
			continue
		}
		if b.GetCompleteTo() != nil {
			c.told = now
		}
		list = append(list, e)
	}
	return list
}

// judge lets the breakers look at what was counted since.
func (c *counted) judge(now time.Time) {
	windows := c.windows
	c.windows = nil
	if c.edge.observe(windows, c.followed.AgeAt(now), now) {
		c.served.refresh()
	}
	c.judged.Add(1)
}

// count has something counted, unless the relay is ending, and makes the next commit one for it.
func (t *telemetry) count(c *counted, mark *telemetryv1.Sender, count func() error) (*commitGroup, error) {
	t.counting.RLock()
	defer t.counting.RUnlock()
	if t.closed {
		return nil, status.Error(codes.Unavailable, "the relay is ending, and nothing was counted: send it again to another")
	}
	if err := count(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.group
	g.environments[c] = true
	if mark != nil && !fault.Planted("forget-senders") {
		g.marks[keyOf(mark)] = mark
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return g, nil
}

// wait returns when the group is durable, as far as anything is.
func (g *commitGroup) wait(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

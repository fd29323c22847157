package fleet

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	defaultWait = 10 * time.Second
	longestWait = 5 * time.Minute
	// answerGap is the time between two answers, on the average; the first few come at once.
	answerGap   = 50 * time.Millisecond
	answerBurst = 4
	// countGap is the least time between two looks.
	countGap = 5 * time.Millisecond
	// maxMissing is how many relays an answer names.
	maxMissing = 100
)

// waiting is one call of WaitApplied.
type waiting struct {
	fleet       *Fleet
	environment string
	revision    int64
	fraction    float64
	timeout     time.Duration

	began   time.Time
	epoch   snapshot.Epoch
	history *history
	others  *peers
}

// WaitApplied answers FleetService; send is called from its goroutine.
func (f *Fleet) WaitApplied(ctx context.Context, r *controlv1.WaitAppliedRequest, send func(*controlv1.WaitAppliedResponse) error) error {
	w, err := f.newWaiting(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w.others = f.ask(ctx, w.environment)
	defer w.others.wait()
	defer cancel()
	if err := f.ready(ctx, w.others); err != nil {
		return err
	}
	return w.run(ctx, send)
}

func (f *Fleet) newWaiting(r *controlv1.WaitAppliedRequest) (*waiting, error) {
	w := &waiting{
		fleet: f, environment: r.GetEnvironment(), revision: r.GetRevision(), began: time.Now(),
		fraction: cmp.Or(r.GetFraction(), 1), timeout: defaultWait,
	}
	if r.GetTimeout() != nil {
		w.timeout = r.GetTimeout().AsDuration()
	}
	switch {
	case w.environment == "":
		return nil, invalid("environment", "is empty: want a name such as production")
	case w.revision <= 0:
		return nil, invalid("revision", strconv.FormatInt(w.revision, 10)+": want a revision, as a write answers it")
	case !(w.fraction > 0 && w.fraction <= 1):
		return nil, invalid("fraction", fmt.Sprintf("%v: want a share of the relays, above 0 and at most 1", w.fraction))
	case r.GetTimeout().CheckValid() != nil && r.GetTimeout() != nil, w.timeout < 0, w.timeout > longestWait:
		return nil, invalid("timeout", fmt.Sprintf("%v: want a duration of at most %v", w.timeout, longestWait))
	}
	if w.history = f.histories.of(w.environment); w.history == nil {
		return nil, unknownEnvironment(w.environment)
	}
	if s := w.history.replica.Snapshot(); s != nil {
		w.epoch = s.Cursor().Epoch
	}
	return w, nil
}

// run answers with each change until the end.
func (w *waiting) run(ctx context.Context, send func(*controlv1.WaitAppliedResponse) error) error {
	deadline := time.NewTimer(w.timeout - time.Since(w.began))
	defer deadline.Stop()
	var last *controlv1.WaitAppliedResponse
	due := w.began.Add(-answerBurst * answerGap)
	for over := false; ; {
		began := time.Now()
		local, fresh := w.news()
		answer, err := w.count(local)
		if err != nil {
			return err
		}
		answer.Last = over || answer.GetReached()
		changed := last == nil || differs(last, answer)
		if answer.GetLast() || changed && !began.Before(due) {
			if err := send(answer); err != nil || answer.GetLast() {
				return err
			}
			last, due, changed = answer, later(due, began.Add(-answerBurst*answerGap)).Add(answerGap), false
		}
		// To count takes the more the larger the fleet is: most of the time goes to others.
		over, err = w.pause(ctx, deadline.C, max(countGap, 4*time.Since(began)), news{})
		if err == nil && !over {
			over, err = w.pause(ctx, deadline.C, w.patience(changed, due), fresh)
		}
		if err != nil {
			return err
		}
		w.others.find(ctx)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// news are what is closed, or signalled, when something is new.
type news struct{ states, local, relays, servers, others <-chan struct{} }

func (w *waiting) news() ([]*member, news) {
	n := news{states: w.history.news(), others: w.others.changed}
	_, n.relays = w.fleet.relays.All()
	_, n.servers = w.fleet.servers.All()
	var local []*member
	local, n.local = w.fleet.local.all()
	return local, n
}

// patience is how long to wait for news: until an answer that was held back is due, or
// this server may have the revision. 0: however long it takes.
func (w *waiting) patience(heldBack bool, due time.Time) time.Duration {
	switch {
	case heldBack:
		return max(time.Until(due), time.Nanosecond)
	case !w.arrived():
		return answerGap
	}
	return 0
}

// pause waits for news, at most for so long; over: it is the deadline.
func (w *waiting) pause(ctx context.Context, deadline <-chan time.Time, limit time.Duration, n news) (over bool, err error) {
	var timer <-chan time.Time
	if limit > 0 {
		timer = time.After(limit)
	}
	select {
	case <-deadline:
		return true, nil
	case <-timer:
	case <-n.states:
	case <-n.local:
	case <-n.relays:
	case <-n.servers:
	case <-n.others:
	case <-ctx.Done():
		return false, ctx.Err()
	case <-w.fleet.stopped:
		return false, ErrStopped
	}
	return false, nil
}

// arrived tells whether this server itself has the revision.
func (w *waiting) arrived() bool {
	s := w.history.replica.Snapshot()
	return s != nil && s.Cursor().Revision >= w.revision
}

// count says how it stands.
func (w *waiting) count(local []*member) (*controlv1.WaitAppliedResponse, error) {
	if w.fleet.o.Replicas.Replica(w.environment) != w.history.replica {
		return nil, unknownEnvironment(w.environment)
	}
	if s := w.history.replica.Snapshot(); s != nil {
		if w.epoch == (snapshot.Epoch{}) {
			w.epoch = s.Cursor().Epoch
		}
		if s.Cursor().Epoch != w.epoch {
			return nil, ErrEpoch
		}
	}
	told, unreachable := w.others.known()
	answer := &controlv1.WaitAppliedResponse{UnreachableServers: unreachable}
	var missing []*member
	for _, m := range w.fleet.merge(w.environment, append(local, told...)) {
		answer.Total++
		has := m.in(w.environment)
		if w.history.reach(has.cursor) >= w.revision && has.rejections.Newest < w.revision {
			answer.Applied++
		} else {
			missing = append(missing, m)
		}
	}
	answer.Reached = answer.GetApplied() >= int32(math.Ceil(w.fraction*float64(answer.GetTotal())-1e-9))
	now := time.Now()
	answer.Elapsed = durationpb.New(now.Sub(w.began))
	slices.SortStableFunc(missing, func(a, b *member) int {
		return cmp.Or(compareBool(a.connected, b.connected), a.seen.Compare(b.seen))
	})
	for _, m := range missing[:min(len(missing), maxMissing)] {
		answer.Missing = append(answer.Missing, w.fleet.relayOf(m, now))
	}
	return answer, nil
}

// differs tells whether the answers say something different.
func differs(a, b *controlv1.WaitAppliedResponse) bool {
	return a.GetApplied() != b.GetApplied() || a.GetTotal() != b.GetTotal() ||
		!slices.Equal(a.GetUnreachableServers(), b.GetUnreachableServers()) ||
		!slices.EqualFunc(a.GetMissing(), b.GetMissing(), func(x, y *controlv1.Relay) bool {
			return x.GetInstanceId() == y.GetInstanceId() && x.GetConnected() == y.GetConnected()
		})
}

func quote(s string) string { return strconv.Quote(s) }

func invalid(field, problem string) error {
	return &controlplane.InvalidError{Fields: eval.Errors{{Field: field, Problem: problem}}}
}

func precondition(field, problem string) error {
	return &controlplane.PreconditionError{Fields: eval.Errors{{Field: field, Problem: problem}}}
}

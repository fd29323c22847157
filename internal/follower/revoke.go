package follower

import (
	"slices"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// refusal is what is known of an environment that the upstream refuses; zero for one that
// it serves.
type refusal struct {
	// times in a row, and when the last was.
	times int
	last  time.Time
	// again is when to ask again; zero: it is not refused.
	again time.Time
}

// ask decides what the next stream is about: everything, without what was refused and
// whose time has not come yet; or all the same, if nothing else is left: then how long to
// wait is the rotation's to say.
func (in *intake) ask(now time.Time) {
	due := func(sc *scope) bool { return !sc.refusal.again.After(now) }
	some := slices.ContainsFunc(in.scopes, due)
	for _, sc := range in.scopes {
		sc.asked = !some || due(sc)
	}
}

// forgive has everything asked for again: what was refused, was refused to another key.
func (in *intake) forgive() {
	for _, sc := range in.scopes {
		sc.refusal = refusal{}
	}
}

// untilAsk is how long the stream may last before it is time to ask for more; without ok,
// it is about everything.
func (in *intake) untilAsk(now time.Time) (wait time.Duration, ok bool) {
	for _, sc := range in.scopes {
		if left := sc.refusal.again.Sub(now); !sc.asked && (!ok || left < wait) {
			wait, ok = left, true
		}
	}
	return max(wait, 0), ok
}

// revoke lets go of the environments that the upstream refuses: in memory first, as that
// is what answers. It tells whether the stream was about others, too. What the stream is
// not about cannot be refused.
func (in *intake) revoke(g *syncv1.Goodbye, now time.Time) (others bool) {
	var names []string
	for _, sc := range in.scopes {
		name := sc.replica.Environment()
		switch {
		case !sc.asked:
		case len(g.GetEnvironments()) > 0 && !slices.Contains(g.GetEnvironments(), name):
			others = true
		default:
			names = append(names, name)
			in.purge(sc)
			sc.refusal.refuse(g.GetBackoff().AsDuration(), in.backoffMin, in.backoffMax, now)
		}
	}
	if len(names) == 0 {
		return false
	}
	in.log.Error().Strs("environments", names).Str("why", g.GetMessage()).
		Msg("REVOKED: the upstream does not serve these environments to this process any more; their state is removed")
	return others
}

// refuse notes a refusal. The wait is at least what the upstream asked for, and grows with
// each refusal, so that one that grants and revokes again and again costs little.
func (r *refusal) refuse(backoff, least, most time.Duration, now time.Time) {
	if now.Sub(r.last) > 2*most {
		r.times = 0
	}
	r.times++
	r.last = now
	bound := least
	for i := 1; i < r.times && bound < most; i++ {
		bound *= 2
	}
	r.again = now.Add(min(max(backoff, 0), most) + spread(min(bound, most)))
}

// granted notes that the upstream serves an environment.
func (in *intake) granted(sc *scope) {
	if !sc.refusal.again.IsZero() {
		sc.refusal.again = time.Time{}
		in.metrics.revoked.WithLabelValues(sc.replica.Environment()).Set(0)
	}
}

// purge removes what is here of an environment, from memory and from the journal.
func (in *intake) purge(sc *scope) {
	name := sc.replica.Environment()
	refusedBefore := !sc.refusal.again.IsZero()
	sc.replica.Purge()
	sc.staged.Reset()
	sc.afresh, sc.synced, sc.unwritten = false, false, false
	in.durable.forget(name)
	in.metrics.revoked.WithLabelValues(name).Set(1)
	in.metrics.rejected.WithLabelValues(name).Set(0)
	in.metrics.revision.WithLabelValues(name).Set(0)
	if in.journal == nil || refusedBefore {
		return // there is nothing since
	}
	if err := in.journal.Forget(name); err != nil {
		in.metrics.journalFailures.Inc()
		in.log.Error().Err(err).Str("environment", name).
			Msg("the state of a revoked environment is not removed from disk; it is tried again")
	}
}

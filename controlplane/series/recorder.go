package series

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

const (
	// lookEvery is how often what was judged is taken in.
	lookEvery = time.Second
	// perLook is how many rollouts are, at most, so that a look takes a part of the time until the
	// next: to assess one with five guardrails takes well under 1 ms of a core (BenchmarkAssessment
	// of internal/judge). Where there are more, each has its point more rarely.
	perLook = 200
	// sameFor is how long figures that do not change are left out.
	sameFor = time.Minute
	// overAfter is how long a rollout is not judged before it is taken for over.
	overAfter = 15 * time.Second
	// storeTimeout bounds one call of the store.
	storeTimeout = 5 * time.Second
)

// Options of a Recorder.
type Options struct {
	Store store.Store // required
	// StateKey is where the store has a rollout, without which nothing is written of it; required.
	StateKey func(environment, rollout string) string
	Logger   zerolog.Logger
}

// Recorder adds to series on the leader. Its methods may be called from any goroutine.
type Recorder struct {
	o Options

	// judgedMu is held for moments only, as who decides waits for it; mu while chunks are packed.
	// Who needs both takes mu first.
	judgedMu sync.Mutex
	leading  bool
	judged   map[id]judged

	mu     sync.Mutex
	held   map[id]*recorded
	packer packer
}

type id struct{ environment, rollout string }

// judged is a judgement that is not taken in yet.
type judged struct {
	at     time.Time
	status *rolloutv1.Status
	assess func() *rolloutv1.Assessment
}

// recorded is a rollout that is judged.
type recorded struct {
	// open are the chunks whose time is not over; before is the last one of level 0 that is.
	open   [levels]chunk
	before chunk
	// full are to be written.
	full   []full
	last   *controlv1.SeriesPoint
	scales []*controlv1.GuardrailScale
	seen   time.Time // by the local clock, when it was judged last
}

// full is a chunk to be written.
type full struct {
	level int
	chunk
}

// NewRecorder makes a Recorder. It writes while [Recorder.Lead] runs.
func NewRecorder(o Options) (*Recorder, error) {
	if o.Store == nil || o.StateKey == nil {
		return nil, errors.New("series: Options.Store and StateKey are required")
	}
	return &Recorder{o: o, judged: make(map[id]judged), held: make(map[id]*recorded)}, nil
}

// Observe takes in how a rollout was judged. It waits for nothing, and assess is called later, if
// no other judgement of the rollout comes before that.
func (r *Recorder) Observe(environment string, of *rolloutv1.Rollout, at time.Time, assess func() *rolloutv1.Assessment) {
	r.judgedMu.Lock()
	defer r.judgedMu.Unlock()
	if r.leading {
		r.judged[id{environment, of.GetKey()}] = judged{at: at, status: of.GetStatus(), assess: assess}
	}
}

// Lead writes until ctx ends, which it returns, or the term is over: leader.ErrDeposed.
func (r *Recorder) Lead(ctx context.Context, term leader.Term) error {
	r.lead(true)
	defer r.lead(false)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if err := r.look(ctx, term, time.Now()); errors.Is(err, leader.ErrDeposed) {
				return err
			}
		case <-ctx.Done():
			// So that a server that stops in good order leaves no gap. It is fenced, as ever.
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
			defer cancel()
			r.takeIn(ending, time.Now())
			r.finish(func(*recorded) bool { return true })
			_ = r.flush(ending, term) // what fails was logged
			return ctx.Err()
		}
	}
}

// lead forgets what only a leader knows.
func (r *Recorder) lead(leading bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judgedMu.Lock()
	defer r.judgedMu.Unlock()
	r.leading = leading
	clear(r.judged)
	clear(r.held)
}

// takeIn takes in what was judged.
func (r *Recorder) takeIn(ctx context.Context, now time.Time) {
	for of, j := range r.take() {
		rec := r.held[of]
		if rec == nil {
			var err error
			if rec, err = r.load(ctx, of); err != nil {
				r.o.Logger.Warn().Err(err).Str("environment", of.environment).Str("rollout", of.rollout).Msg("the series of a rollout cannot be read; trying again")
				continue
			}
		}
		a := j.assess()
		p := Point(j.at, j.status, a)
		r.mu.Lock()
		r.held[of] = rec
		rec.seen = now
		rec.scales = scalesOf(a)
		switch {
		case rec.last == nil && !counted(a): // there is nothing to show yet
		case !sameFigures(rec.last, p), p.GetTime().AsTime().Sub(rec.last.GetTime().AsTime()) >= sameFor:
			rec.add(p)
		}
		r.mu.Unlock()
	}
}

// look takes in what was judged, and writes what is full.
func (r *Recorder) look(ctx context.Context, term leader.Term, now time.Time) error {
	r.takeIn(ctx, now)
	over := r.finish(func(rec *recorded) bool { return now.Sub(rec.seen) >= overAfter })
	if err := r.flush(ctx, term); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range over {
		if rec := r.held[of]; rec != nil && len(rec.full) == 0 {
			delete(r.held, of)
		}
	}
	return nil
}

// take returns what is to be taken in now.
func (r *Recorder) take() map[id]judged {
	r.judgedMu.Lock()
	defer r.judgedMu.Unlock()
	if len(r.judged) <= perLook {
		all := r.judged
		r.judged = make(map[id]judged, len(all))
		return all
	}
	some := make(map[id]judged, perLook)
	for of, j := range r.judged { // in no order, so that each gets its turn
		if len(some) == perLook {
			break
		}
		some[of] = j
		delete(r.judged, of)
	}
	return some
}

// finish has all of the rollouts written for which over says so, and returns them.
func (r *Recorder) finish(over func(*recorded) bool) (finished []id) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for of, rec := range r.held {
		if over(rec) {
			rec.finish()
			finished = append(finished, of)
		}
	}
	return finished
}

// add adds a point to all levels.
func (rec *recorded) add(p *controlv1.SeriesPoint) {
	if rec.last != nil && !p.GetTime().AsTime().After(rec.last.GetTime().AsTime()) {
		return // a clock went back: time is what points are in order by
	}
	rec.last = p
	for level := range rec.open {
		number := tickOf(p, level) / perChunk
		if c := &rec.open[level]; c.number != number {
			rec.close(level)
			c.number = number
		}
		rec.open[level].add(p, level)
	}
}

// close makes a chunk one that is to be written.
func (rec *recorded) close(level int) {
	c := rec.open[level]
	if len(c.points) > 0 {
		rec.full = append(rec.full, full{level, c})
	}
	if level == 0 {
		rec.before = c
	}
	rec.open[level] = chunk{}
}

// finish has what there is written, also what is not full.
func (rec *recorded) finish() {
	for level, c := range rec.open {
		if len(c.points) > 0 {
			rec.full = append(rec.full, full{level, c})
		}
	}
}

// load goes on from what the leaders before have written.
func (r *Recorder) load(ctx context.Context, of id) (*recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	s, err := Read(ctx, r.o.Store, of.environment, of.rollout)
	if err != nil {
		return nil, err
	}
	if s.Corrupt != nil { // it is for people: go on with what there is
		r.o.Logger.Error().Err(s.Corrupt).Str("environment", of.environment).Str("rollout", of.rollout).Msg("a part of the series of a rollout is lost")
	}
	rec := &recorded{scales: s.Scales}
	if len(s.Points) == 0 {
		return rec, nil
	}
	rec.last = s.Points[len(s.Points)-1]
	for level := range rec.open {
		c := &rec.open[level] // that of the newest point, whether it was written or not
		c.number = tickOf(rec.last, level) / perChunk
		for _, p := range s.Points {
			if tickOf(p, level)/perChunk == c.number {
				c.add(p, level)
			}
		}
	}
	return rec, nil
}

// Leading tells whether this server has the newest points.
func (r *Recorder) Leading() bool {
	r.judgedMu.Lock()
	defer r.judgedMu.Unlock()
	return r.leading
}

// Read reads what a series has after a time, with what is not written yet, if this server leads.
func (r *Recorder) Read(ctx context.Context, environment, rollout string, after time.Time) (*Series, error) {
	of := id{environment, rollout}
	if s := r.tail(of, after); s != nil {
		return s, nil
	}
	s, err := Read(ctx, r.o.Store, environment, rollout)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.held[of]; rec != nil {
		s.append(rec.before.points...)
		s.append(rec.open[0].points...)
		s.Scales = rec.scales
	}
	return s.After(after), nil
}

// tail is what comes after a time, if that is in memory.
func (r *Recorder) tail(of id, after time.Time) *Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.held[of]
	if rec == nil || len(rec.before.points) == 0 || after.Before(rec.before.points[0].GetTime().AsTime()) {
		return nil
	}
	s := &Series{Scales: rec.scales, Points: slices.Clone(rec.before.points)}
	s.append(rec.open[0].points...)
	return s.After(after)
}

// ids are those of the rollouts that have something to be written.
func (r *Recorder) ids() []id {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Keys(r.held)), func(of id) bool { return len(r.held[of].full) == 0 })
}

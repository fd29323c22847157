package series

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

const production = "production"

// bench is a store with a rollout, in fake time.
type bench struct {
	*testing.T
	store store.Store
}

func run(t *testing.T, f func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, store: memstore.New()}
		defer b.store.Close()
		b.put(stateKey(production, "r"))
		f(b)
	})
}

func stateKey(environment, rollout string) string { return "state/" + environment + "/" + rollout }

func (b *bench) put(key string) {
	b.Helper()
	b.commit(store.Put(key, nil))
}

func (b *bench) commit(ops ...store.Op) int64 {
	b.Helper()
	out, err := b.store.Commit(b.Context(), store.Txn{Ops: ops})
	if err != nil {
		b.Fatal(err)
	}
	return out.Revision
}

// lead begins a term; the recorder leads until the returned function is called.
func (b *bench) lead() (r *Recorder, stop func() error) {
	b.Helper()
	b.commit(store.Delete(leader.Key))
	term := leader.Term(b.commit(store.Put(leader.Key, nil)))
	r, err := NewRecorder(Options{Store: b.store, StateKey: stateKey, Logger: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Lead(ctx, term) }()
	synctest.Wait()
	return r, func() error {
		defer cancel()
		select {
		case err := <-ended:
			return err
		default:
		}
		cancel()
		return <-ended
	}
}

func (b *bench) read() *Series {
	b.Helper()
	s, err := Read(b.Context(), b.store, production, "r")
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// judge has a rollout judged each second for so long, each time on more exposures.
func (b *bench) judge(r *Recorder, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		at := time.Now()
		r.Observe(production, &rolloutv1.Rollout{Key: "r", Status: &rolloutv1.Status{Step: 1, Weight: 100}}, at,
			func() *rolloutv1.Assessment { return assessment(uint64(at.Unix())) })
		time.Sleep(time.Second)
		synctest.Wait()
	}
}

func assessment(exposures uint64) *rolloutv1.Assessment {
	return &rolloutv1.Assessment{Guardrails: []*rolloutv1.GuardrailAssessment{{
		Name: "errors", LogThreshold: 5, Standing: rolloutv1.Standing_STANDING_UNPROVEN, Counts: &rolloutv1.Counts{TreatmentExposures: exposures},
	}}}
}

// times are those of a series' points, in seconds since 1970.
func times(points []*controlv1.SeriesPoint) (seconds []int64) {
	for _, p := range points {
		seconds = append(seconds, p.GetTime().GetSeconds())
	}
	return seconds
}

func TestRecords(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		began := time.Now()
		b.judge(r, 90*time.Second)
		s, err := r.Read(t.Context(), production, "r", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		checkDense(t, times(s.Points), began.Unix(), began.Unix()+89)
		if c := s.Points[89].GetGuardrails()[0].GetCounts(); c.GetTreatmentExposures() != uint64(began.Unix()+89) {
			t.Errorf("the newest: %v", c)
		}
		if s.Scales[0].GetName() != "errors" || s.Scales[0].GetLogThreshold() != 5 {
			t.Errorf("scales %v", s.Scales)
		}
		later, err := r.Read(t.Context(), production, "r", began.Add(85*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		checkDense(t, times(later.Points), began.Unix()+86, began.Unix()+89)
		if n := len(b.read().Points); n < 60 || n >= 90 {
			t.Errorf("%d points are written, want all but the last 20 s", n)
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		checkDense(t, times(b.read().Points), began.Unix(), began.Unix()+89)
	})
}

// checkDense wants a point for each second.
func checkDense(t *testing.T, seconds []int64, from, to int64) {
	t.Helper()
	if len(seconds) != int(to-from+1) || seconds[0] != from || seconds[len(seconds)-1] != to {
		t.Fatalf("%d points, at %v; want one a second from %d to %d", len(seconds), seconds, from, to)
	}
}

// A leader that stops in good order writes also what it was told last.
func TestStops(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		began := time.Now().Unix()
		b.judge(r, 3*time.Second)
		r.Observe(production, &rolloutv1.Rollout{Key: "r"}, time.Now(), func() *rolloutv1.Assessment { return assessment(9) })
		_ = stop()
		checkDense(t, times(b.read().Points), began, began+3)
	})
}

// Figures that do not change are left out, but for one a minute.
func TestIdle(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		for range 150 {
			r.Observe(production, &rolloutv1.Rollout{Key: "r"}, time.Now(), func() *rolloutv1.Assessment { return assessment(7) })
			time.Sleep(time.Second)
			synctest.Wait()
		}
		_ = stop()
		if n := len(b.read().Points); n != 3 {
			t.Errorf("%d points in 150 s, want 3", n)
		}
	})
}

// Before anything was counted nothing is written.
func TestNothingCounted(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		none := assessment(0)
		none.GetGuardrails()[0].Standing = rolloutv1.Standing_STANDING_NO_DATA
		r.Observe(production, &rolloutv1.Rollout{Key: "r"}, time.Now(), func() *rolloutv1.Assessment { return none })
		time.Sleep(time.Minute)
		_ = stop()
		if n := len(b.read().Points); n != 0 {
			t.Errorf("%d points", n)
		}
	})
}

// The next leader goes on where the one before died, and what was written stays.
func TestNextLeader(t *testing.T) {
	run(t, func(b *bench) {
		began := time.Now().Unix()
		for range 20 {
			r, stop := b.lead()
			b.judge(r, 67*time.Second)
			b.commit(store.Delete(leader.Key)) // it dies: whatever it still writes is fenced
			_ = stop()
		}
		s := times(b.read().Points)
		if s[0]-began > 12 {
			t.Errorf("it begins %d s late", s[0]-began)
		}
		for i := 1; i < len(s); i++ {
			if gap := s[i] - s[i-1]; gap <= 0 || gap > 20+12 {
				t.Errorf("a gap of %d s before point %d of %d", gap, i, len(s))
			}
		}
		if last := time.Now().Unix() - s[len(s)-1]; last > 21 {
			t.Errorf("the last %d s are lost", last)
		}
	})
}

func TestDeposed(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		_, stopNext := b.lead()
		b.judge(r, 30*time.Second)
		if err := stop(); !errors.Is(err, leader.ErrDeposed) {
			t.Errorf("got %v", err)
		}
		if n := len(b.read().Points); n != 0 {
			t.Errorf("%d points were written", n)
		}
		_ = stopNext()
	})
}

// What is deleted leaves nothing, and keeps nothing of others from being written.
func TestDeleted(t *testing.T) {
	run(t, func(b *bench) {
		b.put(stateKey(production, "other"))
		r, stop := b.lead()
		b.judge(r, 45*time.Second)
		b.commit(append(Delete(production, "r"), store.Delete(stateKey(production, "r")))...)
		r.Observe(production, &rolloutv1.Rollout{Key: "other"}, time.Now(), func() *rolloutv1.Assessment { return assessment(1) })
		b.judge(r, 45*time.Second) // as one that was judged before it was deleted
		_ = stop()
		if n := len(b.read().Points); n != 0 {
			t.Errorf("%d points of a deleted rollout", n)
		}
		if s, err := Read(t.Context(), b.store, production, "other"); err != nil || len(s.Points) != 1 {
			t.Errorf("of another rollout: %v, %v", s, err)
		}
	})
}

// A rollout that is over is written whole, and let go of.
func TestOver(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		began := time.Now().Unix()
		b.judge(r, 10*time.Second)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		checkDense(t, times(b.read().Points), began, began+9)
		if len(r.held) != 0 {
			t.Error("it is still held")
		}
		_ = stop()
	})
}

// What cannot be decoded is left out, and told.
func TestCorrupt(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		b.judge(r, 60*time.Second)
		_ = stop()
		before := len(b.read().Points)
		b.commit(store.Put(chunkKey(production, "r", 1, 0), []byte{0xff}), store.Put(prefix(production, "r")+"9-00", nil))
		s := b.read()
		if !errors.Is(s.Corrupt, ErrCorrupt) || len(s.Points) == 0 || len(s.Points) > before {
			t.Errorf("%v, %d points of %d", s.Corrupt, len(s.Points), before)
		}
		r, stop = b.lead() // which goes on
		b.judge(r, 5*time.Second)
		_ = stop()
		if n := len(b.read().Points); n < 5 {
			t.Errorf("%d points", n)
		}
	})
}

// TestWholeLife: a rollout of 100 days has at most MaxPoints, the last 5 minutes by the second, and
// everything before with gaps of about a twentieth of its age at most.
func TestWholeLife(t *testing.T) {
	b := &bench{T: t, store: memstore.New()}
	defer b.store.Close()
	rec := &recorded{}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(1, 2))
	size, pack := map[string]int{}, packer{}
	at, end := began, began.Add(100*24*time.Hour)
	for at.Before(end) {
		a := &rolloutv1.Assessment{SampleRatio: &rolloutv1.SampleRatio{LogE: rng.Float64()}, Traffic: 100 * rng.Float64()}
		for range 5 {
			a.Guardrails = append(a.Guardrails, &rolloutv1.GuardrailAssessment{
				Standing: rolloutv1.Standing_STANDING_UNPROVEN, Estimate: proto.Float64(rng.Float64()), Lower: proto.Float64(rng.Float64()),
				Upper: proto.Float64(rng.Float64()), Limit: 1.05, PromotionLimit: 5, LogE: proto.Float64(rng.Float64()), GateLogE: proto.Float64(rng.Float64()),
				Counts: &rolloutv1.Counts{TreatmentEvents: uint64(rng.IntN(1e5)), ControlEvents: uint64(rng.IntN(1e5)), TreatmentExposures: uint64(rng.IntN(1e8)), ControlExposures: uint64(rng.IntN(1e8))},
			})
		}
		rec.add(Point(at, &rolloutv1.Status{Step: 3, Stage: 2, Weight: 2000, State: rolloutv1.State_STATE_RUNNING}, a))
		var ops []store.Op
		for _, f := range rec.full {
			value, err := pack.encode(f.chunk, nil)
			if err != nil {
				t.Fatal(err)
			}
			key := chunkKey(production, "r", f.level, f.number)
			size[key] = len(value)
			ops = append(ops, store.Put(key, value))
		}
		if rec.full = nil; len(ops) > 0 {
			b.commit(ops...)
		}
		step := time.Second
		switch left := end.Sub(at); { // as one that is idle, but for the end
		case left > 3*time.Hour:
			step = 2 * time.Hour
		case left > 10*time.Minute:
			step = time.Minute
		}
		at = at.Add(step)
	}
	s := b.read()
	s.append(rec.before.points...)
	s.append(rec.open[0].points...)
	n := len(s.Points)
	if n > MaxPoints+2*perChunk || n > 2000 {
		t.Errorf("%d points", n)
	}
	seconds := times(s.Points)
	checkDense(t, seconds[n-280:], end.Unix()-280, end.Unix()-1)
	for i := 1; i < n; i++ {
		gap, age := seconds[i]-seconds[i-1], end.Unix()-seconds[i-1]
		if gap <= 0 || gap > max(7200, age/20)+ticks[2] {
			t.Errorf("a gap of %d s, %d s ago", gap, age)
		}
	}
	if first := seconds[0] - began.Unix(); first > ticks[5] {
		t.Errorf("it begins %d s late", first)
	}
	total := 0
	for _, n := range size {
		total += n
	}
	if total > 400<<10 {
		t.Errorf("%d bytes are stored", total)
	}
	t.Logf("%d points, %d keys, %d bytes of random figures of 5 guardrails", n, len(size), total)
}

package judge

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// edgeRun has a relay judge seconds of traffic by itself, errors of 5% against rate in the
// treatment, and returns its trip and when.
func edgeRun(t *testing.T, r *rolloutv1.Rollout, seed uint64, rate float64, seconds int) (*telemetryv1.Trip, int) {
	t.Helper()
	plan, err := Compile(r)
	if err != nil {
		t.Fatal(err)
	}
	b := plan.NewEdgeBreaker()
	b.Follow(r.GetStatus())
	d := newWorld(seed)
	for i := range seconds {
		now := epoch.Add(time.Duration(i) * time.Second)
		w := windowAt(now, r.GetStatus().GetStep(), errorArm(d, 50, rate), errorArm(d, 50, 0.05))
		if trip := b.Observe([]*telemetryv1.Window{w}, now); trip != nil {
			return trip, i
		}
	}
	return nil, seconds
}

// TestEdgeTrips: a relay finds harm by itself, and what it says is taken by the control plane.
// The more relays, and the later the step, the more evidence it takes.
func TestEdgeTrips(t *testing.T) {
	t.Parallel()
	one := at(canary(errorRate()), 3)
	trip, seconds := edgeRun(t, one, 1, 0.15, 200)
	if trip == nil {
		t.Fatal("three times the errors were not found")
	}
	r := newRig(t, one)
	r.situation.Trips = []*telemetryv1.Trip{trip}
	if out := r.tick(); out.Verdict != rollback || out.Reason != ReasonTrip {
		t.Errorf("the control plane: %v", out)
	}
	if trip.GetTreatmentEvents() == 0 || trip.GetControlExposures() == 0 || trip.GetGuardrail() != "errors" || trip.GetStep() != 1 {
		t.Errorf("%v", trip)
	}
	many := proto.CloneOf(one)
	many.Status.Relays = 1000
	fleet, later := edgeRun(t, many, 1, 0.15, 200)
	if fleet == nil || later <= seconds || math.Abs(fleet.GetLogThreshold()-trip.GetLogThreshold()-math.Log(1000)) > 1e-9 {
		t.Errorf("of a thousand relays: after %d s at %v; of one: after %d s at %v", later, fleet.GetLogThreshold(), seconds, trip.GetLogThreshold())
	}
	tenth := proto.CloneOf(one)
	for range 9 {
		enter(tenth, 3, 5000, epoch)
	}
	if _, late := edgeRun(t, tenth, 1, 0.15, 200); late <= seconds {
		t.Errorf("at the tenth step after %d s, at the first after %d s", late, seconds)
	}
}

// TestEdgeKeepsQuiet: without harm, disabled, over, or where a guardrail only holds.
func TestEdgeKeepsQuiet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		if trip, i := edgeRun(t, at(canary(errorRate()), 3), seed, 0.05, 120); trip != nil {
			t.Errorf("seed %d, second %d: %v", seed, i, trip)
		}
	}
	off := at(canary(errorRate()), 3)
	off.EdgeBreaker = &rolloutv1.EdgeBreaker{Disabled: true}
	over := at(canary(errorRate()), 3)
	over.Status.State = rolloutv1.State_STATE_COMPLETED
	holds := errorRate()
	holds.Action = rolloutv1.Action_ACTION_HOLD
	for name, r := range map[string]*rolloutv1.Rollout{"disabled": off, "over": over, "holds": at(canary(holds), 3)} {
		if trip, _ := edgeRun(t, r, 1, 0.5, 60); trip != nil {
			t.Errorf("%s: %v", name, trip)
		}
	}
}

// TestEdgeForgets: what was counted at a step is no evidence of the next, and the same status
// again changes nothing.
func TestEdgeForgets(t *testing.T) {
	t.Parallel()
	r := at(canary(errorRate()), 3)
	plan, err := Compile(r)
	if err != nil {
		t.Fatal(err)
	}
	b := plan.NewEdgeBreaker()
	b.Follow(r.GetStatus())
	w := func(step uint64) []*telemetryv1.Window {
		return []*telemetryv1.Window{windowAt(epoch, step, cellOf(50, errorsOf(8)), cellOf(50, errorsOf(2)))}
	}
	trips := 0
	for range 20 {
		b.Follow(proto.CloneOf(r.GetStatus()))
		if b.Observe(w(1), epoch) != nil {
			trips++
		}
	}
	if trips == 0 {
		t.Fatal("no trip")
	}
	enter(r, 4, 9800, epoch)
	b.Follow(r.GetStatus())
	for range 3 {
		if trip := b.Observe(w(1), epoch); trip != nil {
			t.Errorf("it trips on what was counted before: %v", trip)
		}
	}
	if trip := b.Observe(nil, epoch); trip != nil {
		t.Error(trip)
	}
}

// TestFalseAlarms: at the edge of what is harmless, with steps that come and go and both tests
// at work, a guardrail trips in at most its share of rollouts; and so do the relays of a fleet
// together.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	g := errorRate()
	g.Margin = relative(0.5)
	r := at(canary(g), 2)
	r.FalseRollbackBudget = 0.2
	plan, err := Compile(r)
	if err != nil {
		t.Fatal(err)
	}
	const runs, seconds = 400, 100
	alarms, trips := 0, 0
	d := newWorld(77)
	for range runs {
		status := proto.CloneOf(r.GetStatus())
		s, b := plan.NewState(), plan.NewEdgeBreaker()
		alarmed, tripped := false, false
		for i := range seconds {
			if i%25 == 24 { // a step whose share is another
				status.Step++
				status.Weight = 1000 + 2000*(status.GetWeight()%4000)/1000
				status.Steps = append(status.Steps, &rolloutv1.Step{Step: status.GetStep(), Weight: status.GetWeight()})
			}
			if s.step != status.GetStep() {
				s.begin(status, 2)
				b.Follow(status)
			}
			nt := d.binomial(100, float64(status.GetWeight())/1e4)
			w := []*telemetryv1.Window{windowAt(epoch, status.GetStep(), errorArm(d, nt, 0.075), errorArm(d, 100-nt, 0.05))}
			s.count(status, w, epoch)
			alarmed = alarmed || s.guards[0].breached(plan.guards[0], stakesOf(s.step))
			tripped = tripped || b.Observe(w, epoch) != nil
		}
		if alarmed {
			alarms++
		}
		if tripped {
			trips++
		}
	}
	// The bound is 17.8% and 2% of 400 runs; three standard errors above.
	if alarms > 71+3*8 || trips > 8+9 {
		t.Errorf("%d false alarms, %d false trips in %d rollouts", alarms, trips, runs)
	}
	if alarms == 0 {
		t.Error("not one false alarm: the test sees nothing")
	}
}

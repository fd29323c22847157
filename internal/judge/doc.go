// Package judge decides on rollouts: it makes evidence of telemetry, and verdicts of evidence. It
// is pure. It has no clock, I/O, randomness or goroutines; the time, the rollout and what was
// counted are arguments, so a decision that was stored with its inputs can be computed again,
// bit for bit (Replay).
//
//	Compile(rollout)                         *Plan: thresholds and tests, once a rollout
//	plan.Inputs(rollout, evidence, windows)  what a verdict is computed from, added up
//	plan.Judge(inputs, policy)               *Judgement: verdict, and the evidence after
//	judgement.Decision()                     the same in words and figures, for the record
//	plan.NewEdgeBreaker()                    the part of it that relays run
//
// # From telemetry to a verdict
//
// Relays count windows of a second, by step: a time in which the treatment's weight did not
// change. Windows of all relays of the same second and step are added up to a stratum, and each
// guardrail compares the variants within it, with the tests of package guardrail. What arrives
// late is a stratum of its own; nothing waits for a second to be complete. Windows of a step that
// is over add to what is shown and decide nothing.
//
// Each guardrail has breakers, which look for harm, and a gate, which looks for safety. Breakers
// go on over steps; gates begin anew with each, for what was safe at 1% need not be at 50%. In
// the last stage, where control is what the holdback leaves, gates go on from the stage before.
//
// A Policy proposes to stay or to advance. The shield disposes:
//
//   - a violated guardrail, a trip of a relay that was cut off, or a treatment that loses its
//     subjects shuts, before the policy is asked;
//   - an advance needs every gate passed at this step, the stage's least time, nine of ten relays
//     that serve the step and have told what they counted, subjects that come as the split
//     intends, a control that is not in trouble itself, a flag that is as the rollout left it, a
//     rollout that runs and a stage that is not left by hand;
//   - anything else is to hold. No data, bad data and a broken policy hold.
//
// # What is promised
//
// A rollout whose treatment is within all margins is rolled back with a probability of at most
// its false_rollback_budget, over its whole life, however often it is judged and whatever the
// policy does: exactly for exceedances, mispredictions and rates of observations, of independent
// units; asymptotically for means and scores; and closely for rates of exposures, whose events
// come later than they: they are compared by the arms' shares of the whole step, which are
// what is intended within chance, not by those of the window. The budget is shared: 1% of it
// for lacks of subjects, by stage; of the rest each guardrail that shuts has its part by weight,
// of which relays that are cut off share a tenth.
//
// The rest is no promise but judgement, and only ever holds: whether control is in trouble (by
// factors of what is usual, see level), whether predictions drift, and that the treatment must
// tell of a metric if the control does. An F1 is compared with its reference alone: an outage
// of both variants that spoils their labels shuts it.
//
// Units are independent if one subject is at most one event: that is up to the telemetry, which
// counts a subject's events once in a while. Episodes of trouble that last longer than that while
// count several times, and then the promise does not hold.
package judge

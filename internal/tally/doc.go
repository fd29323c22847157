// Package tally adds up who was served what, and what was observed of them: evaluations and
// observations in, sums by rollout, step, arm and metric out. A relay has a [Tally] for each
// environment, as has an SDK that evaluates in process.
//
//	replica publishes ──▶ Apply      what to count, and what it belongs to
//	an answer         ──▶ Exposed    lock-free, no allocation
//	Track             ──▶ Observe    attributed by evaluating again
//	an SDK's report   ──▶ Merge
//	                      Turn, Cut  ──▶ windows, batches
//
// # Counted exactly once
//
// Each exposure and each observation that is counted is in exactly one batch, and what cannot
// be counted is in the account as lost, with the reason: over all batches, emitted = counted +
// lost. Exposures are counted by the compiled flag that answered. A rollout's weight never
// changes without its flag, so an answer belongs to the step that it was given at, however
// late it is counted.
//
// # Attribution without memory
//
// Nobody remembers who was served what. A subject's arm at a step follows from its bucketing
// hash and the step's weight, which the rollout's status tells; so an observation is
// attributed by evaluating its flag, now or for the step in force at a time. Where it cannot
// be known which of two steps an observation belongs to, and the arm depends on it, it is not
// counted, and lost as ambiguous.
//
// # Memory
//
// It is bounded by what the snapshot holds: rollouts, steps, metrics. Sets of subjects are
// bits indexed by the bucketing hash; they grow with traffic up to a size and, all together,
// up to Options.MemoryBytes. What is missed then is missed in both arms alike. Labels of
// models and values of segments are those that came first, up to a number; the rest is
// [Other].
//
// Apply, Turn and Cut are called by anyone, one waits for the other. Nothing here does I/O or
// looks at a clock.
package tally

// Package guardrail holds the statistics of a rollout: it turns counts and sums of two arms,
// treatment (the new) and control (the old), into evidence. It decides nothing and knows no
// clock, log, goroutine or file; a decider feeds it windows and acts on what it says.
//
// # Evidence that may be looked at always
//
// A rollout is looked at every second. A p-value or a confidence interval of a textbook
// holds for one look, at a size fixed before; looked at every second, it cries wolf sooner or
// later. What is used here holds at all looks together.
//
// An e-process E is a bet against a hypothesis, such as "treatment has no more errors than
// control". It begins at 1 at most, and each window multiplies it by a factor whose
// expectation is at most 1 while the hypothesis is true. Nobody gets rich in a fair game:
// the probability that E ever reaches 1/α is at most α (Ville's inequality). So E ≥ 250 is a
// reason to roll back that is false in at most 0.4% of all rollouts, however often one looks,
// however long it takes, and whatever made one look. E is kept as its logarithm, in nats,
// which add up and neither overflow nor vanish.
//
// A confidence sequence is the same, said in intervals: those of all moments together contain
// the truth with probability 1-α.
//
// # Three rules
//
// Compare only within a stratum: a window of a stage, in which both arms lived through the
// same hour at the same share of traffic. Sums over strata with different shares mix the
// hours into the difference (Simpson's paradox), and may show a loss where every stratum has
// a gain.
//
// Evidence of harm is restarted, evidence of safety is not. A breaker (RateBreaker,
// MeanBreaker) adds a small stake in every window, so that a fault after an hour of good
// is found as fast as one at the start. A gate (RateGate) sums up all that was seen.
//
// Proof of safety is another hypothesis than absence of proof of harm. A breaker that is
// silent has proven nothing: a rollout widens only when a gate has ruled out the harm that
// it names.
//
// # What to use
//
//	errors, exceedances, mispredictions   RateBreaker, RateGate; RateRatio to show
//	latency, revenue, other means         MeanBreaker, Difference
//	ratios of sums per user               PairedSample.Linearize, then as a mean
//	a quantile                            RateBreaker on exceedances; CompareQuantiles to show
//	precision, recall, accuracy           FalseDiscoveries, Misses, Mispredictions, then as a rate
//	F1                                    Confusion.F1Sample, then Difference.ObserveOne
//	drift of scores                       PSI against PSINull
//	segments                              a RateBreaker each, then WorstSegment
//	whether users arrive as intended      SRM
//	the error budget                      Allocate, LogThreshold; Discoveries for a fleet
//	a success metric                      Difference.Judge: Won; ProbabilityGreater
//	how long it takes                     RateBreaker.Detect, RateGate.ExposuresToPass,
//	                                      Difference.GrowthToSafe
//
// # What is promised
//
// RateBreaker, RateGate, SRM, BinomialMixture and Quantile are exact for independent units, at
// any sample size. MeanBreaker, Difference and PSINull are asymptotic. Units that are not
// independent break all of them, a few users with many errors each most of all: count a
// user's first, or make users the units.
//
// Shares of traffic may be chosen from all that was seen before; that is, a policy may decide
// as it likes without spending anything of the error budget.
//
// # Replay
//
// All functions are pure: the same state and input give the same bits. They use only
// operations that IEEE 754 defines to the last bit, with no fused multiply-add, and their own
// logarithm and exponential made of these, so that the bits are the same on every
// architecture that Go has; a test holds that against the compiler's output. They may differ
// between releases of this package: a record that is to be replayed names the release.
//
// A state is a struct of numbers. Stored and read back bit for bit, it goes on as if nothing
// had happened; one of unknown origin is checked with its Validate. A machine (the pointer
// that a New function returns) is immutable and safe for concurrent use; a state has one
// owner. Observe does not allocate and does not block; what looks for roots (intervals,
// bands, plans) is for when someone asks.
package guardrail

// Package snapshot is the algebra of environment states: immutable snapshots, the
// deltas between them, and the digest that proves that two sides hold the same.
//
//	Apply(a, Diff(a, b)) == b
//
// for all snapshots a and b of one environment and epoch of which b is not older,
// digest included.
//
// A [Snapshot] shares with the one that it came from everything that did not change, so
// a change costs time and memory in proportion to itself, however large the environment
// is. Item data is kept as it was received, is hashed and forwarded as such, and must
// not be modified by anyone once it was given to this package.
//
// Nothing here blocks, logs, or looks at a clock. Snapshots are safe for concurrent use.
package snapshot

// Package replica holds the newest snapshot of each environment and a bounded history
// of how it came about. It is the joint between what receives (the follower, or the
// control plane's watch of the store), what serves (the hub), and what evaluates.
//
// One goroutine publishes an environment's snapshots; any number read. Reading the
// current snapshot is one atomic load. Subscribers walk a linked list of changes at
// their own pace and can neither block the publisher nor each other; one that falls
// behind the bound is told so and starts again from the current snapshot.
//
// Promises, to readers and subscribers alike: within one epoch the revision never
// decreases, unless it was purged; every change begins at the state at which the one before it ended, or the
// subscriber is told that it lost some; a subscriber that does not read keeps nothing of
// the history alive.
package replica

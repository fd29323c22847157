// Package telemetry brings what an SDK was told, or has added up, to a relay: each thing once.
//
//	Track ──▶ [Tracker]   a bounded queue of observations, for clients that evaluate at a relay
//	tally ──▶ [Reporter]  sums, for clients that evaluate in the process
//	             │
//	             ▼
//	          [Link]      one relay after the other, but never two with the same message
//
// # Promises
//
//   - Nothing blocks who tracks, whatever becomes of the relay.
//   - emitted = acknowledged + lost + pending, at any time; see [Stats].
//   - A message is sent again until it is answered, under the sequence that it had first; a relay
//     that has counted it answers and does not count it again. Where it is not known whether one
//     relay has counted it, no other gets it.
//   - Memory is bounded. A relay that is away costs an attempt every few seconds.
package telemetry

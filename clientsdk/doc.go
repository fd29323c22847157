// Package clientsdk is the Go SDK: it answers feature flags in your process.
//
//	client, err := clientsdk.NewInProcess(ctx, "127.0.0.1:8013", "production")
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//
//	user := clientsdk.User("user-1").With("country", "CA")
//	if client.IsEnabled(ctx, "new-checkout", user) {
//		...
//	}
//
// There are two modes with one interface, [Client]. [NewInProcess] follows a relay (or
// the control server) and evaluates here: about a hundred nanoseconds and no allocation
// an evaluation, and it goes on when everything else is down. [NewRemote] asks a relay
// for each answer: the process holds no flags, but each evaluation is a call.
// [NewOffline] has no upstream at all; package flagtest makes it handy for tests, and
// package ofprovider makes any Client an OpenFeature provider.
//
// # Telemetry
//
// A rollout is widened or shut by what is observed of those that it serves. In-process clients
// count whom they serve; tell what you observe with the context that the flag was evaluated with:
//
//	err := pay(ctx, cart)
//	client.TrackEvent(ctx, "payment-errors", user, err != nil)
//	client.TrackDuration(ctx, "payment-latency", user, time.Since(began))
//
// Such a call never waits and never fails. Observations of metrics that no rollout watches cost
// little and count nothing. [Client].TelemetryStats tells what became of everything.
//
// # Promises
//
//   - No evaluation fails or panics. Where there is no answer, the caller's default is
//     served; the Details calls say why, with OpenFeature's reasons and error codes.
//   - An in-process client always answers from one whole snapshot of the environment.
//     Its revision never goes back, unless the store itself was restored from a backup.
//   - The same context gets the same answer from both modes; splits assign as flagd's do.
//   - Plain calls of an in-process client (IsEnabled, Boolean, String, Int, Float) neither
//     lock nor allocate, and read a clock only for flags whose rules do. A remote call
//     takes at most its timeout.
//   - What is counted is counted once, however often it had to be sent, or is in the stats as
//     lost. Where several relays share one address, an answer that gets lost may have it counted
//     by two of them.
//   - A rollout that the relay has shut by itself, cut off from the control plane, serves the
//     control here, too, within a second or two.
//   - What cannot be reached is tried again for ever, at random intervals that grow to 30
//     seconds (in-process) or 5 (remote). An answer whose age exceeds [WithStaleAfter] has
//     the reason STALE.
package clientsdk

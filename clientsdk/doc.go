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
//   - What cannot be reached is tried again for ever, at random intervals that grow to 30
//     seconds (in-process) or 5 (remote). An answer whose age exceeds [WithStaleAfter] has
//     the reason STALE.
package clientsdk

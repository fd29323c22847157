package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

var (
	rounds = flag.Int("rounds", 6, "how often TestKill kills")
	seed   = flag.Uint64("seed", 0, "seed of TestKill; 0: a random one")
)

const killFlags = 5

// TestKill kills the server, the relay and both, at random, under writing clients
// (promises 1, 2 and 3 of docs/architecture.md): no acknowledged write is lost, a
// retried write happens once; while only the server is down no evaluation goes
// unanswered and no stream of the relay breaks, and the relay tells how old its answers
// are; it answers from its disk without a server; and no reader, by call, stream or
// watch, ever sees a revision or a value go back.
func TestKill(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d, %d rounds", *seed, *rounds)
	random := rand.New(rand.NewPCG(*seed, 0))

	srv := newServer(t, "--data-dir", t.TempDir())
	srv.start()
	relay := newEdge(t, srv.grpc, t.TempDir())
	relay.start()

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer func() { stop(); clients.Wait() }()
	writers := make([]*writer, killFlags)
	for i := range writers {
		writers[i] = newWriter(ctx, t, fmt.Sprintf("counter-%d", i), srv.grpc)
	}
	readers := newReaders(t, relay.grpc, writers)
	eventually(t, "the relay has the flags", func() error { return readers.calls.session(ctx) })
	for _, w := range writers {
		clients.Go(func() { w.run(ctx) })
	}
	for _, r := range readers.all() {
		clients.Go(func() { r.run(ctx) })
	}
	readers.mustGoOn("at first", readers.all()...)

	for round := range *rounds {
		acknowledged := writers[0].acknowledged.Load()
		switch random.IntN(3) {
		case 0:
			t.Logf("round %d: kill the server", round)
			readers.mustNotFail(func() {
				srv.kill()
				readers.mustGoOn("without a server", readers.calls, readers.stream)
				readers.mustTellAge(ctx)
				srv.start()
			})
		case 1:
			t.Logf("round %d: kill the relay", round)
			relay.kill()
			relay.start()
		case 2:
			t.Logf("round %d: kill both, start the relay first", round)
			srv.kill()
			relay.kill()
			relay.start()
			readers.mustGoOn("from disk, without a server", readers.calls, readers.stream)
			readers.mustTellAge(ctx)
			srv.start()
		}
		eventually(t, "writes go on", func() error {
			if n := writers[0].acknowledged.Load(); n <= acknowledged+5 {
				return fmt.Errorf("%d acknowledged, %d before", n, acknowledged)
			}
			return nil
		})
		readers.mustGoOn("after the kill", readers.all()...)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // kill at odd moments
	}

	stop()
	clients.Wait()
	var writes int64
	for _, w := range writers {
		w.verify(t.Context())
		writes += w.acknowledged.Load()
		eventually(t, "the relay serves the last write of "+w.key, func() error { return w.served(t.Context(), readers.evaluation) })
	}
	t.Logf("%d writes acknowledged", writes)
	for _, r := range readers.all() {
		t.Logf("by %s: %d answers, %d failures while the relay was down", r.how, r.answers.Load(), r.failures.Load())
	}
}

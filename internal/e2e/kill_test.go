package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/e2e/bed"
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

	srv := bed.NewServer(t, bin, "--data-dir", t.TempDir())
	srv.Start()
	relay := bed.NewRelay(t, bin, srv.GRPC, t.TempDir())
	relay.Start()

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer func() { stop(); clients.Wait() }()
	writers := make([]*bed.Writer, killFlags)
	for i := range writers {
		writers[i] = bed.NewWriter(ctx, t, srv.GRPC, fmt.Sprintf("counter-%d", i))
	}
	readers := bed.NewReaders(t, relay.GRPC, writers)
	readers.AwaitAll(ctx)
	for _, w := range writers {
		clients.Go(func() { w.Run(ctx) })
	}
	for _, r := range readers.All() {
		clients.Go(func() { r.Run(ctx) })
	}
	readers.MustGoOn("at first", readers.All()...)

	for round := range *rounds {
		acknowledged := writers[0].Acknowledged()
		switch random.IntN(3) {
		case 0:
			t.Logf("round %d: kill the server", round)
			readers.MustNotFail(func() {
				srv.Kill()
				readers.MustGoOn("without a server", readers.Calls, readers.Stream)
				readers.MustTellAge(ctx)
				srv.Start()
			})
		case 1:
			t.Logf("round %d: kill the relay", round)
			relay.Kill()
			relay.Start()
		case 2:
			t.Logf("round %d: kill both, start the relay first", round)
			srv.Kill()
			relay.Kill()
			relay.Start()
			readers.MustGoOn("from disk, without a server", readers.Calls, readers.Stream)
			readers.MustTellAge(ctx)
			srv.Start()
		}
		bed.Eventually(t, "writes go on", func() error {
			if n := writers[0].Acknowledged(); n <= acknowledged+5 {
				return fmt.Errorf("%d acknowledged, %d before", n, acknowledged)
			}
			return nil
		})
		readers.MustGoOn("after the kill", readers.All()...)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // kill at odd moments
	}

	stop()
	clients.Wait()
	var writes int64
	for _, w := range writers {
		w.Verify(t.Context())
		writes += w.Acknowledged()
		bed.Eventually(t, "the relay serves the last write of "+w.Keys[0], func() error { return w.Served(t.Context(), readers.Evaluation) })
	}
	t.Logf("%d writes acknowledged", writes)
	for _, r := range readers.All() {
		t.Logf("by %s: %d answers, %d failures while the relay was down", r.How, r.Answers.Load(), r.Failures.Load())
	}
}

//go:build faults && unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// gate is the way from one server to the store.
type gate struct {
	store.Store

	mu      sync.Mutex
	shut    bool
	watches map[*gatedWatch]struct{}
}

func newGate(s store.Store) *gate { return &gate{Store: s, watches: map[*gatedWatch]struct{}{}} }

// set shuts the gate, which breaks the watches, or opens it.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for w := range g.watches {
		w.cancel()
	}
	clear(g.watches)
}

func (g *gate) usable() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return fmt.Errorf("%w: the gate is shut", store.ErrUnavailable)
	}
	return nil
}

func (g *gate) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	if err := g.usable(); err != nil {
		return nil, 0, err
	}
	return g.Store.Read(ctx, ranges...)
}

func (g *gate) ReadAt(ctx context.Context, revision int64, r store.Range) (store.Result, error) {
	if err := g.usable(); err != nil {
		return store.Result{}, err
	}
	return g.Store.ReadAt(ctx, revision, r)
}

func (g *gate) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if err := g.usable(); err != nil {
		return store.Outcome{}, err
	}
	return g.Store.Commit(ctx, t)
}

func (g *gate) Watch(ctx context.Context, prefix string, from int64) (store.Watch, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w, err := g.Store.Watch(ctx, prefix, from)
	if err != nil {
		cancel()
		return nil, err
	}
	gated := &gatedWatch{Watch: w, cancel: cancel}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watches[gated] = struct{}{}
	return gated, nil
}

// gatedWatch ends when the gate is shut.
type gatedWatch struct {
	store.Watch
	cancel context.CancelFunc
}

func (w *gatedWatch) Close() { w.Watch.Close(); w.cancel() }

// flaky is a store that now and then does not answer a commit, carried out or not.
type flaky struct {
	store.Store

	mu     sync.Mutex
	random *rand.Rand // nil: it always answers
}

func (f *flaky) begin(random *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.random = random
}

func (f *flaky) draw() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random == nil {
		return -1
	}
	return f.random.IntN(12)
}

func (f *flaky) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	draw := f.draw()
	lost := fmt.Errorf("%w: the answer was lost", store.ErrUnavailable)
	if draw == 0 {
		return store.Outcome{}, lost
	}
	out, err := f.Store.Commit(ctx, t)
	if draw == 1 {
		return store.Outcome{}, lost
	}
	return out, err
}

// settled is the number of goroutines, once it is the same for a while.
func settled() int {
	last, since := runtime.NumGoroutine(), time.Now()
	for deadline := time.Now().Add(patience); time.Since(since) < 300*time.Millisecond && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if n := runtime.NumGoroutine(); n < last {
			last, since = n, time.Now()
		}
	}
	return last
}

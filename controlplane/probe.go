package controlplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// probeInterval is how often the store is asked for its revision and epoch. Replicas
	// that have reached the revision are confirmed as of the question; so the interval
	// bounds the age of what a healthy server serves.
	probeInterval = 500 * time.Millisecond
	probeTimeout  = 5 * time.Second
)

// ErrDataLoss says that the store has gone back in its history: what this server serves is
// not what the store holds, and stays so until a new epoch begins.
var ErrDataLoss = errors.New("the store has gone back behind what was applied from it, in the same epoch: it lost data, or was restored from a backup; once it holds what shall be served, begin a new epoch: tidegate epoch begin --reason \"...\"")

// probe is one answer of the store; linearizable, so it proves that there is a quorum.
type probe struct {
	asked time.Time
	// applied was the replicas' revision then; they go on while the store answers.
	applied  int64
	epoch    snapshot.Epoch
	revision int64
	err      error
}

func (a *applier) ask(ctx context.Context) probe {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	p := probe{asked: time.Now(), applied: a.revision()}
	results, revision, err := a.store.Read(ctx, store.Key(epochKey))
	a.reachable.Store(err == nil)
	switch {
	case err != nil:
		p.err = fmt.Errorf("ask the store for its epoch and revision: %w", err)
		return p
	case len(results[0].KVs) == 0:
		p.err = fmt.Errorf("%w: %s is missing", ErrCorrupt, epochKey)
		return p
	}
	p.revision = revision
	p.epoch, p.err = decodeEpoch(results[0].KVs[0].Value)
	return p
}

// errNewEpoch: the store's history began anew.
var errNewEpoch = errors.New("the store has a new epoch")

// checkProbe makes sure that the store is the one that the replicas came from, and neither
// is behind them nor ever was. What was applied is never taken back within an epoch.
func (a *applier) checkProbe(p probe) error {
	switch {
	case p.err != nil:
		return p.err
	case a.left[p.epoch]:
		return fmt.Errorf("%w (its epoch is %s again, which had ended with %s)", ErrDataLoss, p.epoch, a.epoch)
	case p.epoch != a.epoch:
		return fmt.Errorf("%w: %s, not %s", errNewEpoch, p.epoch, a.epoch)
	case p.revision < p.applied:
		a.lost = true
		return fmt.Errorf("%w (its revision is %d, %d is applied)", ErrDataLoss, p.revision, p.applied)
	case a.lost:
		return fmt.Errorf("%w (its revision is %d by now, by another history; %d is applied)", ErrDataLoss, p.revision, p.applied)
	}
	return nil
}

// probes asks again and again, on a goroutine of its own: a store that does not answer
// must not hold up the watch.
type probes struct {
	results chan probe
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

func (a *applier) startProbes(ctx context.Context) *probes {
	ctx, cancel := context.WithCancel(ctx)
	p := &probes{results: make(chan probe), cancel: cancel}
	p.wg.Go(func() {
		tick := time.NewTicker(probeInterval)
		defer tick.Stop()
		for {
			select {
			case p.results <- a.ask(ctx):
			case <-ctx.Done():
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return p
}

func (p *probes) stop() {
	p.cancel()
	p.wg.Wait()
}

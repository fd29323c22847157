package controlplane

import (
	"context"
	"sync"
)

// progress is the revision up to which everything was applied, for those who wait for
// it.
type progress struct {
	mu      sync.Mutex
	applied int64
	changed chan struct{} // closed and replaced when applied rises
	// wanted is signalled when somebody waits, so that the watch is asked to report.
	wanted chan struct{}
}

func newProgress() *progress {
	return &progress{changed: make(chan struct{}), wanted: make(chan struct{}, 1)}
}

// revision returns the applied revision.
func (p *progress) revision() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied
}

// reach records that everything up to the revision was applied.
func (p *progress) reach(revision int64) { p.set(max(revision, p.revision())) }

// set also takes the revision back, as a new epoch may. Only the applier calls it.
func (p *progress) set(revision int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if revision == p.applied {
		return
	}
	p.applied = revision
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait returns when the revision is applied, or ctx ends; and what is applied.
func (p *progress) wait(ctx context.Context, revision int64) (int64, error) {
	for {
		p.mu.Lock()
		applied, changed := p.applied, p.changed
		p.mu.Unlock()
		if applied >= revision {
			return applied, nil
		}
		select {
		case p.wanted <- struct{}{}:
		default: // is asked for already
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return applied, ctx.Err()
		}
	}
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tidegate/tidegate/bench/testbed"
	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// historyBytes is what a relay keeps of changes.
const historyBytes = 4 << 20

// relays are many relays as far as a change goes through them: each has a connection, a
// follower, a replica and compiled flags of its own, and answers with them. They share
// this process. As processes of their own they would share the machine all the same, and
// what is measured would be how it switches between them; each on a machine of its own,
// as in life, none would wait for another.
type relays struct {
	all  []*oneRelay
	stop context.CancelFunc
	done sync.WaitGroup
}

// oneRelay notes what it shows.
type oneRelay struct {
	replica *replica.Replica

	mu    sync.Mutex
	shown []shown // in order
	err   error
}

// shown is a revision, and when evaluations began to answer with it.
type shown struct {
	revision int64
	at       time.Time
}

// follow starts n relays and waits until each has something to show.
func follow(ctx context.Context, upstream string, n int) (_ *relays, err error) {
	r := &relays{}
	ctx, r.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	for i := range n {
		set := replica.NewSet(replica.Options{HistoryBytes: historyBytes})
		f, err := follower.New(follower.Options{
			Upstreams: []string{upstream}, Environments: []string{testbed.Environment}, Replicas: set,
			InstanceID:  fmt.Sprintf("relay-%d", i),
			DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
			Logger:      zerolog.Nop(),
		})
		if err != nil {
			return nil, err
		}
		one := &oneRelay{replica: set.Replica(testbed.Environment)}
		r.all = append(r.all, one)
		r.done.Go(func() { _ = f.Run(ctx) }) // what it returns is that ctx ended
		r.done.Go(func() { one.watch(ctx) })
	}
	for _, one := range r.all {
		select {
		case <-one.replica.Ready():
		case <-time.After(patience):
			return nil, errors.New("not every relay has something to show after a minute")
		}
	}
	return r, nil
}

func (r *relays) close() {
	r.stop()
	r.done.Wait()
}

// watch notes each change, once evaluations answer with it.
func (o *oneRelay) watch(ctx context.Context) {
	_, follow := o.replica.Subscribe()
	for {
		change, _, err := follow.Next(ctx)
		if err != nil {
			return
		}
		now := o.replica.Snapshot()
		err = answers(now, change.Delta.Puts)
		at := time.Now()
		o.mu.Lock()
		o.shown = append(o.shown, shown{now.Cursor().Revision, at})
		o.err = errors.Join(o.err, err)
		o.mu.Unlock()
	}
}

// answers checks that evaluations answer with what changed.
func answers(s *snapshot.Snapshot, changed []snapshot.Item) error {
	for _, item := range changed {
		r := s.Eval().Evaluate(item.Key, &eval.Context{TargetingKey: "user-1"})
		if r.Flag == nil || r.Flag.Revision() < item.ModRevision {
			return fmt.Errorf("%s is not answered for at revision %d", item.Key, item.ModRevision)
		}
	}
	return nil
}

// forget drops what was noted.
func (r *relays) forget() {
	for _, one := range r.all {
		one.mu.Lock()
		one.shown = nil
		one.mu.Unlock()
	}
}

// await waits until all relays show the revision, and makes sure that they show the same.
func (r *relays) await(ctx context.Context, revision int64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, one := range r.all {
		for one.last() < revision {
			select {
			case <-ctx.Done():
				return fmt.Errorf("a relay is at revision %d, not at %d: %w", one.last(), revision, ctx.Err())
			case <-time.After(time.Millisecond):
			}
		}
	}
	var first snapshot.Cursor
	for i, one := range r.all {
		if one.err != nil {
			return one.err
		}
		switch c := one.replica.Snapshot().Cursor(); {
		case i == 0:
			first = c
		case !c.SameState(first):
			return fmt.Errorf("relays show %s and %s, with nothing under way", first, c)
		}
	}
	return nil
}

func (o *oneRelay) last() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.shown) == 0 {
		return 0
	}
	return o.shown[len(o.shown)-1].revision
}

// since returns when the relay showed the revision, or a later one.
func (o *oneRelay) since(revision int64) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, _ := slices.BinarySearchFunc(o.shown, revision, func(s shown, r int64) int { return cmp.Compare(s.revision, r) })
	return o.shown[i].at
}

package main

import (
	"context"
	"slices"
	"time"

	"github.com/tidegate/tidegate/bench/testbed"
)

const (
	// settle is how long a server is left alone after the last delivery of a change, to
	// take the Acks.
	settle = 500 * time.Millisecond
	// idle is how long a server with nothing to do but heartbeats is looked at.
	idle = 10 * time.Second
)

// fanout is what some changes cost.
type fanout struct {
	cpu        []float64 // us a delivery, for each change
	deliveries []time.Duration
	last       []time.Duration // for each change
	lost       int             // streams, that came back
}

// changes writes n changes, each when the one before has settled. rate is the share of a
// processor that the server takes when nothing changes.
func changes(ctx context.Context, s subject, f *fleet, streams, n int, rate float64) (*fanout, error) {
	out := &fanout{}
	for range n {
		f.collector.renew()
		begin, before, err := used(s)
		if err != nil {
			return nil, err
		}
		answered, revision, err := s.change(ctx, changeBytes)
		if err != nil {
			return nil, err
		}
		times, err := f.collector.awaitDelivered(ctx, revision, streams)
		if err != nil {
			return nil, err
		}
		if err := pause(ctx, settle); err != nil {
			return nil, err
		}
		end, after, err := used(s)
		if err != nil {
			return nil, err
		}
		cost := after - before - time.Duration(rate*float64(end.Sub(begin)))
		out.lost += f.collector.lostSince()
		out.cpu = append(out.cpu, float64(cost.Nanoseconds())/1000/float64(streams))
		for _, t := range times {
			out.deliveries = append(out.deliveries, max(t.Sub(answered), 0))
		}
		out.last = append(out.last, max(times[len(times)-1].Sub(answered), 0))
	}
	return out, nil
}

// idleRate is the share of a processor that the server takes when nothing changes.
func idleRate(ctx context.Context, s subject, d time.Duration) (float64, error) {
	begin, before, err := used(s)
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	end, after, err := used(s)
	return float64(after-before) / float64(end.Sub(begin)), err
}

func used(s subject) (time.Time, time.Duration, error) {
	cpu, err := testbed.CPUTime(s.pid())
	return time.Now(), cpu, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// herd is what it took to have all streams back.
type herd struct {
	half, last time.Duration // since they were cut
	resident   int64         // before
	peak       int64
	ends       map[string]int
}

// reconnect cuts all streams, by killing and restarting the server or by breaking the
// connections, and waits until all are in sync again. Empty followers need everything.
func reconnect(ctx context.Context, s subject, f *fleet, streams int, kill, empty bool) (*herd, error) {
	resident, _, err := testbed.Resident(s.pid())
	if err != nil {
		return nil, err
	}
	out := &herd{resident: resident}
	f.collector.renew()
	f.empty.Store(empty)
	defer f.empty.Store(false)
	begin := time.Now()
	if kill {
		s.kill()
		if err := s.start(ctx); err != nil {
			return nil, err
		}
	} else {
		if err := testbed.ResetPeak(s.pid()); err != nil {
			return nil, err
		}
		f.cut()
	}
	times, err := f.collector.awaitBack(ctx, streams, streams)
	if err != nil {
		return nil, err
	}
	out.half, out.last = times[len(times)/2].Sub(begin), times[len(times)-1].Sub(begin)
	out.ends = f.collector.counted()
	if _, out.peak, err = testbed.Resident(s.pid()); err != nil {
		return nil, err
	}
	return out, nil
}

func percentile(d []time.Duration, p float64) time.Duration {
	d = slices.Sorted(slices.Values(d))
	i := int(p * float64(len(d)))
	return d[min(i, len(d)-1)]
}

func median(d []float64) float64 {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

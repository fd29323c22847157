package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// load makes requests on one connection until ctx ends, and calls done for each with the
// time it took.
type load interface {
	run(ctx context.Context, done func(time.Duration)) error
}

// sample is what one round measured.
type sample struct {
	rate            float64 // requests a second
	cpu             float64 // of the server, us a request
	p50, p99, p99_9 float64 // us
}

// measure runs the load for a while, on its connections at once, and reads the server's
// processor time.
func measure(ctx context.Context, l load, connections, pid int, warm, during time.Duration) (sample, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var times [][]time.Duration
	var failed []error
	var running sync.WaitGroup
	begin := time.Now().Add(warm)
	end := begin.Add(during)
	for range connections {
		running.Go(func() {
			var took []time.Duration
			err := l.run(ctx, func(t time.Duration) {
				if now := time.Now(); now.After(begin) && now.Before(end) {
					took = append(took, t)
				}
			})
			mu.Lock()
			defer mu.Unlock()
			times, failed = append(times, took), append(failed, err)
			if err != nil {
				stop()
			}
		})
	}
	used, err := cpuBetween(ctx, pid, begin, end)
	stop()
	running.Wait()
	if err := errors.Join(append(failed, err)...); err != nil {
		return sample{}, err
	}
	all := slices.Concat(times...)
	if len(all) == 0 {
		return sample{}, fmt.Errorf("no request was answered in %v: the server hangs, or the machine is too busy to measure", during)
	}
	slices.Sort(all)
	quantile := func(q float64) float64 { return us(all[min(int(q*float64(len(all))), len(all)-1)]) }
	return sample{
		rate: float64(len(all)) / during.Seconds(), cpu: us(used) / float64(len(all)),
		p50: quantile(.5), p99: quantile(.99), p99_9: quantile(.999),
	}, nil
}

// cpuBetween waits, and returns the processor time that the process took meanwhile.
func cpuBetween(ctx context.Context, pid int, begin, end time.Time) (time.Duration, error) {
	var at [2]time.Duration
	for i, t := range []time.Time{begin, end} {
		select {
		case <-time.After(time.Until(t)):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		var err error
		if at[i], err = cpuTime(pid); err != nil {
			return 0, err
		}
	}
	return at[1] - at[0], nil
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// median takes the median of each number.
func median(samples []sample) sample {
	of := func(value func(sample) float64) float64 {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = value(s)
		}
		slices.Sort(values)
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return sample{
		rate: of(func(s sample) float64 { return s.rate }), cpu: of(func(s sample) float64 { return s.cpu }),
		p50: of(func(s sample) float64 { return s.p50 }), p99: of(func(s sample) float64 { return s.p99 }),
		p99_9: of(func(s sample) float64 { return s.p99_9 }),
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/bench/testbed"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	// rateFlags are written in turn.
	rateFlags = 1000
	// killsPerSecond are thrown while others are written.
	killsPerSecond = 5
	patience       = time.Minute
)

// load is what many relays follow.
type load struct {
	server *testbed.Server
	relays *relays
	each   time.Duration // how long each rate is measured
	wrote  atomic.Int64
}

// source writes at a rate; the i-th write returns its revision.
type source struct {
	name      string
	perSecond int
	write     func(ctx context.Context, i int) (int64, error)
}

// write is one write.
type write struct {
	begun, answered time.Time
	revision        int64
}

// rates measures writes at several rates, each for a time, and then kill switches among
// writes at the last of them.
func rates(ctx context.Context, out io.Writer, bin, data string, o options) error {
	server, err := testbed.StartServer(ctx, bin, filepath.Join(data, "rates"))
	if err != nil {
		return err
	}
	defer server.Stop()
	kills := make([]string, int(o.each.Seconds()*killsPerSecond))
	for i := range kills {
		kills[i] = fmt.Sprintf("kill-%d", i)
	}
	if err := server.Fill(ctx, append(testbed.Keys(rateFlags), kills...), 0); err != nil {
		return err
	}
	r, err := follow(ctx, server.Addr, o.relays)
	if err != nil {
		return err
	}
	defer r.close()

	fmt.Fprintln(out, "| relays | measured | among writes/s | writes | write p50 ms | write p99 ms | "+
		"begin to a relay p50 ms | p99 ms | begin to all p50 ms | p99 ms | max ms | answer to all p50 ms | p99 ms | max ms | server CPU % |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	l := &load{server: server, relays: r, each: o.each}
	var last source
	for _, rate := range o.rates {
		last = source{fmt.Sprintf("%d writes/s", rate), rate, l.define}
		if err := l.measure(ctx, out, last, nil); err != nil {
			return fmt.Errorf("%s: %w", last.name, err)
		}
	}
	switches := source{"kill switches", killsPerSecond, func(ctx context.Context, i int) (int64, error) {
		r, err := server.Control.SetEnabled(ctx, &controlv1.SetEnabledRequest{
			Environment: testbed.Environment, FlagKey: kills[i], Reason: "measure",
		})
		return r.GetFlag().GetRevision(), err
	}}
	return l.measure(ctx, out, switches, &last)
}

// define writes a definition that differs from what is there.
func (l *load) define(ctx context.Context, _ int) (int64, error) {
	n := int(l.wrote.Add(1))
	f := testbed.Sized(testbed.Key(n%rateFlags), 0)
	f.Owner = fmt.Sprint("owner-", n)
	r, err := l.server.Control.Apply(ctx, &controlv1.ApplyRequest{
		Environment: testbed.Environment, Flags: []*controlv1.FlagWrite{{Flag: f}}, Reason: "measure",
	})
	return r.GetRevision(), err
}

// measure has the source write, and another one beside it, if there is one, and prints
// how long the source's writes took.
func (l *load) measure(ctx context.Context, out io.Writer, s source, beside *source) error {
	l.relays.forget()
	before, err := testbed.CPUTime(l.server.PID())
	if err != nil {
		return err
	}
	begin := time.Now()
	others, among := make(chan error, 1), 0
	go func() {
		var err error
		if beside != nil {
			_, err = l.writes(ctx, *beside)
		}
		others <- err
	}()
	if beside != nil {
		among = beside.perSecond
	}
	writes, err := l.writes(ctx, s)
	if beside := <-others; err == nil {
		err = beside
	}
	if err != nil {
		return err
	}
	after, err := testbed.CPUTime(l.server.PID())
	if err != nil {
		return err
	}
	took := time.Since(begin)
	last := int64(0)
	for _, w := range writes {
		last = max(last, w.revision)
	}
	if err := l.relays.await(ctx, last); err != nil {
		return err
	}
	var answer, one, all, answered []time.Duration
	for _, w := range writes {
		answer = append(answer, w.answered.Sub(w.begun))
		var slowest time.Time
		for _, r := range l.relays.all {
			at := r.since(w.revision)
			one = append(one, at.Sub(w.begun))
			if at.After(slowest) {
				slowest = at
			}
		}
		all, answered = append(all, slowest.Sub(w.begun)), append(answered, max(0, slowest.Sub(w.answered)))
	}
	fmt.Fprintf(out, "| %d | %s | %d | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %.0f |\n",
		len(l.relays.all), s.name, among, len(writes), percentile(answer, 50), percentile(answer, 99),
		percentile(one, 50), percentile(one, 99), percentile(all, 50), percentile(all, 99), percentile(all, 100),
		percentile(answered, 50), percentile(answered, 99), percentile(answered, 100), 100*float64(after-before)/float64(took))
	return nil
}

// writes writes at the source's rate, whether or not earlier writes have been answered.
func (l *load) writes(ctx context.Context, s source) ([]write, error) {
	n := int(l.each.Seconds() * float64(s.perSecond))
	done, failed := make([]write, n), make([]error, n)
	var all sync.WaitGroup
	begin := time.Now()
	for i := range n {
		select {
		case <-ctx.Done():
			all.Wait()
			return nil, ctx.Err()
		case <-time.After(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(s.perSecond)))):
		}
		all.Go(func() {
			w := &done[i]
			w.begun = time.Now()
			w.revision, failed[i] = s.write(ctx, i)
			w.answered = time.Now()
		})
	}
	all.Wait()
	return done, errors.Join(failed...)
}

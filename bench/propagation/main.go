// Command propagation measures write-to-visible, on real processes over loopback.
//
//	go run ./bench/propagation [-changes 1000] [-flags 100,10000] [-rounds 3]
//		[-relays 100] [-rates 1,10,100] [-time 30s]
//
// The first table: from the acknowledgement of a flag write to the changed answer at a
// relay (over its Watch stream) and in an in-process SDK. Each row is one round:
// percentiles over all changes, in milliseconds. A change that is visible before its
// acknowledgement arrives counts as 0.
//
// The second table: from the begin of a write, and from its answer, until a relay, and
// all of many relays, answer with it, while writes come at a rate; and the same for kill
// switches among writes at the highest rate. The server is a real process; the relays are
// what a relay is made of, without listeners and disk, all in this process, with a
// connection each: see relays.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/bench/testbed"
	"github.com/tidegate/tidegate/clientsdk"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

type options struct {
	changes, rounds int
	sizes           string
	relays          int
	rates           []int
	each            time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.changes, "changes", 1000, "changes measured in each round")
	flag.StringVar(&o.sizes, "flags", "100,10000", "numbers of flags in the environment; none: no first table")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds for each size")
	flag.IntVar(&o.relays, "relays", 100, "relays of the second table; 0: no second table")
	perSecond := flag.String("rates", "1,10,100", "writes a second")
	flag.DurationVar(&o.each, "time", 30*time.Second, "time for each rate")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if o.rates, err = numbers(*perSecond); err == nil {
		err = run(ctx, os.Stdout, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "propagation:", err)
		os.Exit(1)
	}
}

// numbers reads positive numbers separated by commas.
func numbers(text string) ([]int, error) {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-rates: %q is no positive number", part)
		}
		all = append(all, n)
	}
	return all, nil
}

func run(ctx context.Context, out io.Writer, o options) error {
	if o.sizes != "" {
		fmt.Fprintln(out, "| flags | round | relay p50 ms | relay p99 ms | relay max ms | SDK p50 ms | SDK p99 ms | SDK max ms | write p50 ms | write p99 ms |")
		fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|")
		if err := testbed.ForSizes(ctx, o.sizes, func(bin, data string, flags int) error {
			return measure(ctx, out, bin, data, flags, o.changes, o.rounds)
		}); err != nil || o.relays == 0 {
			return err
		}
		fmt.Fprintln(out)
	}
	return testbed.ForSizes(ctx, strconv.Itoa(rateFlags), func(bin, data string, _ int) error {
		return rates(ctx, out, bin, data, o)
	})
}

// measure runs all rounds of one size on fresh processes.
func measure(ctx context.Context, out io.Writer, bin, data string, flags, changes, rounds int) error {
	bed, err := testbed.Start(ctx, bin, data)
	if err != nil {
		return err
	}
	defer bed.Stop()
	if err := bed.Fill(ctx, flags); err != nil {
		return err
	}
	o := &observer{bed: bed, watched: make(chan seen, 4096), told: make(chan seen, 4096)}
	if err := o.watch(ctx); err != nil {
		return err
	}
	sdk, err := o.followInProcess(ctx)
	if err != nil {
		return err
	}
	defer sdk.Close()
	for round := range rounds {
		var writes, relay, sdk []time.Duration
		for i := range changes {
			w, r, s, err := o.change(ctx, testbed.Key(i%flags))
			if err != nil {
				return err
			}
			writes, relay, sdk = append(writes, w), append(relay, r), append(sdk, s)
		}
		fmt.Fprintf(out, "| %d | %d | %s | %s | %s | %s | %s | %s | %s | %s |\n", flags, round+1,
			percentile(relay, 50), percentile(relay, 99), percentile(relay, 100),
			percentile(sdk, 50), percentile(sdk, 99), percentile(sdk, 100),
			percentile(writes, 50), percentile(writes, 99))
	}
	return nil
}

func percentile(d []time.Duration, p int) string {
	slices.Sort(d)
	i := min(len(d)*p/100, len(d)-1)
	return strconv.FormatFloat(float64(d[i].Microseconds())/1000, 'f', 2, 64)
}

// observer sees changes in two places: at the relay, through its Watch stream, and in an
// in-process SDK that follows the relay.
type observer struct {
	bed     *testbed.Bed
	watched chan seen
	told    chan seen
}

// seen is when a flag's revision became visible.
type seen struct {
	key      string
	revision int64
	at       time.Time
}

func (o *observer) watch(ctx context.Context) error {
	watch, err := o.bed.Relay.Watch(ctx, &evaluationv1.WatchRequest{
		Environment: testbed.Environment, Context: &evaluationv1.EvaluationContext{TargetingKey: "user-1"},
	})
	if err != nil {
		return err
	}
	if _, err := watch.Recv(); err != nil { // all answers as they are now
		return err
	}
	go func() {
		for {
			m, err := watch.Recv()
			if err != nil {
				return
			}
			at := time.Now()
			for _, e := range m.GetEvaluations() {
				o.watched <- seen{e.GetFlagKey(), e.GetFlagRevision(), at}
			}
		}
	}()
	return nil
}

// followInProcess opens the SDK; each change that it is told of, it evaluates.
func (o *observer) followInProcess(ctx context.Context) (clientsdk.Client, error) {
	sdk, err := clientsdk.NewInProcess(ctx, o.bed.RelayAddr, testbed.Environment)
	if err != nil {
		return nil, err
	}
	if err := sdk.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, sdk.Close())
	}
	user := clientsdk.User("user-1")
	sdk.OnChange(func(keys []string) {
		for _, key := range keys {
			d := sdk.BooleanDetails(ctx, key, user, false)
			o.told <- seen{key, d.FlagRevision, time.Now()}
		}
	})
	return sdk, nil
}

// change switches a flag and returns how long the write took, and how long after its
// acknowledgement the relay and the SDK answered with it.
func (o *observer) change(ctx context.Context, key string) (write, relay, sdk time.Duration, err error) {
	current, err := o.bed.Control.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: testbed.Environment, FlagKey: key})
	if err != nil {
		return 0, 0, 0, err
	}
	begin := time.Now()
	r, err := o.bed.Control.SetEnabled(ctx, &controlv1.SetEnabledRequest{
		Environment: testbed.Environment, FlagKey: key, Enabled: !current.GetFlag().GetFlag().GetEnabled(), Reason: "measure",
	})
	if err != nil {
		return 0, 0, 0, err
	}
	acknowledged, revision := time.Now(), r.GetFlag().GetRevision()
	if relay, err = await(o.watched, key, revision, acknowledged); err != nil {
		return 0, 0, 0, fmt.Errorf("relay: %w", err)
	}
	if sdk, err = await(o.told, key, revision, acknowledged); err != nil {
		return 0, 0, 0, fmt.Errorf("SDK: %w", err)
	}
	return acknowledged.Sub(begin), relay, sdk, nil
}

func await(c <-chan seen, key string, revision int64, acknowledged time.Time) (time.Duration, error) {
	timeout := time.After(30 * time.Second)
	for {
		select {
		case s := <-c:
			if s.key == key && s.revision >= revision {
				return max(0, s.at.Sub(acknowledged)), nil
			}
		case <-timeout:
			return 0, fmt.Errorf("%s at revision %d is not visible after 30 s", key, revision)
		}
	}
}

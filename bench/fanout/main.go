// Command fanout measures what many streams cost a control server: memory, processor time
// for each delivery of a change of 1 KiB, the time to the last delivery, and how long it
// takes until all are back when all were cut at once.
//
//	go run ./bench/fanout [-shapes 8000x1,100x100] [-changes 20] [-rounds 1]
//
// A shape is connections times streams on each; 1000x100 works too, and takes about 3 GiB
// for both sides. The server is a real process, with 1,000 flags of 330 bytes and one of
// 1 KiB that changes. The streams are opened by this process, on raw sockets: they send
// what a relay sends over grpc-go (Hello, Acks, windows), and have no flags. Those that are
// to stall have the windows that HTTP/2 begins with, the others a relay's.
// Server and streams share the machine.
//
// Beside it, in the same run, the floor: a bare grpc-go server that sends the same bytes,
// encoded before, to the same streams, from one goroutine a stream; see bench/fanout/floor.
//
// Three tables. Changes: heap and stacks a stream, after collections of garbage and
// without what the server has with no stream, the followers having come with their states
// to a server that was just started; the processor's share while nothing changes
// (heartbeats), which is subtracted from what a delivery costs (median over the changes;
// with Acks, and with none); times from the answer to the write. Stalled readers: the same
// changes, while some connections do not read, which were filled before; lost are streams of
// others. Reconnects: time
// since the cut until half and all of the streams are in sync, the server's start
// included; followers wait before they connect, as the protocol says: at random, at most
// 0.5 s at first, and as long as the server tells them to.
//
// Linux only: processor times and memory are the kernel's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/bench/testbed"
	"github.com/tidegate/tidegate/internal/shipped"
)

type options struct {
	shapes          []shape
	changes, rounds int
	flags           int
	only            string
}

// shape is how many connections there are, and how many streams on each.
type shape struct{ connections, each int }

func (s shape) String() string { return fmt.Sprintf("%dx%d", s.connections, s.each) }

func (s shape) streams() int { return s.connections * s.each }

func main() {
	var o options
	shapes := flag.String("shapes", "8000x1,100x100", "connections x streams on each, separated by commas")
	flag.IntVar(&o.changes, "changes", 20, "changes measured in each round")
	flag.IntVar(&o.rounds, "rounds", 1, "rounds, on fresh processes; each has its own lines")
	flag.IntVar(&o.flags, "flags", 1000, "flags in the environment")
	flag.StringVar(&o.only, "only", "changes,stalled,reconnects", "`tables` to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if o.shapes, err = parseShapes(*shapes); err == nil {
		err = run(ctx, os.Stdout, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fanout:", err)
		os.Exit(1)
	}
}

// spare is how many files a process has open besides its connections.
const spare = 200

func parseShapes(text string) ([]shape, error) {
	limit, err := testbed.Descriptors()
	if err != nil {
		return nil, err
	}
	var shapes []shape
	for part := range strings.SplitSeq(text, ",") {
		var s shape
		if n, err := fmt.Sscanf(part, "%dx%d", &s.connections, &s.each); n != 2 || err != nil || s.connections < 1 || s.each < 1 {
			return nil, fmt.Errorf("-shapes: %q is not CONNECTIONSxSTREAMS, such as 8000x1", part)
		}
		if s.connections+spare > limit {
			return nil, fmt.Errorf("-shapes: %s takes %d open files in each of two processes; the limit is %d here (ulimit -n)",
				s, s.connections+spare, limit)
		}
		shapes = append(shapes, s)
	}
	return shapes, nil
}

func run(ctx context.Context, out io.Writer, o options) error {
	dir, err := os.MkdirTemp("", "tidegate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := shipped.Build(ctx, ".", dir, "", "./bench/fanout/floor"); err != nil {
		return err
	}
	var tables tables
	defer func() { tables.print(out) }() // what there is, if something fails
	for round := range o.rounds {
		for _, s := range o.shapes {
			for _, start := range []func() (subject, error){ // the floor first, the other is compared with it
				func() (subject, error) { return startFloor(ctx, dir, o.flags) },
				func() (subject, error) {
					return startTidegate(ctx, dir, filepath.Join(dir, fmt.Sprint("data-", s, "-", round)), o.flags)
				},
			} {
				subject, err := start()
				if err != nil {
					return err
				}
				m := measurement{subject: subject, shape: s, options: o, tables: &tables}
				err = m.run(ctx)
				subject.stop()
				if err != nil {
					return fmt.Errorf("%s, %s streams: %w", subject.name(), s, err)
				}
			}
		}
	}
	return nil
}

// measurement is that of one server with one shape.
type measurement struct {
	subject subject
	shape   shape
	options options
	tables  *tables
	fleet   *fleet
	rate    float64 // of the processor, while nothing changes
}

func (m *measurement) run(ctx context.Context) error {
	none, err := m.subject.live(ctx)
	if err != nil {
		return err
	}
	if m.fleet, err = startFleet(ctx, m.subject.addr(), testbed.Environment, m.shape.connections, m.shape.each); err != nil {
		return err
	}
	defer m.fleet.close()
	// What the server once needed to send everything to everyone is not what it needs to go on.
	if err := m.subject.prepare(ctx, false); err != nil {
		return err
	}
	if _, err := reconnect(ctx, m.subject, m.fleet, m.shape.streams(), true, false); err != nil {
		return err
	}
	if err := pause(ctx, 10*settle); err != nil {
		return err
	}
	if m.rate, err = idleRate(ctx, m.subject, idle); err != nil {
		return err
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"changes", func(ctx context.Context) error { return m.changes(ctx, none) }},
		{"stalled", m.stalled},
		{"reconnects", m.reconnects},
	} {
		if !slices.Contains(strings.Split(m.options.only, ","), part.name) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// changes measures what the streams take, and what a change costs.
func (m *measurement) changes(ctx context.Context, none float64) error {
	resident, _, err := testbed.Resident(m.subject.pid())
	if err != nil {
		return err
	}
	live, err := m.subject.live(ctx)
	if err != nil {
		return err
	}
	n := m.shape.streams()
	with, err := changes(ctx, m.subject, m.fleet, n, m.options.changes, m.rate)
	if err != nil {
		return err
	}
	m.fleet.acks.Store(false)
	without, err := changes(ctx, m.subject, m.fleet, n, m.options.changes, m.rate)
	if err != nil {
		return err
	}
	m.fleet.acks.Store(true)
	if m.subject.name() == floorName {
		m.tables.floor = with
	}
	floor := m.tables.floor
	m.tables.changes = append(m.tables.changes, row(
		m.shape, m.subject.name(), fmt.Sprintf("%.1f", (live-none)/float64(n)/1024), mib(resident),
		fmt.Sprintf("%.1f", 100*m.rate), fmt.Sprintf("%.1f", median(with.cpu)), fmt.Sprintf("%.1f", median(without.cpu)),
		ms(percentile(with.deliveries, 0.5)), ms(percentile(with.deliveries, 0.99)),
		ms(percentile(with.last, 0.5)), ms(percentile(with.last, 0.99)),
		fmt.Sprintf("%.2f", median(with.cpu)/median(floor.cpu)),
		fmt.Sprintf("%.2f", float64(percentile(with.last, 0.5))/float64(percentile(floor.last, 0.5))),
		with.lost+without.lost,
	))
	return nil
}

// stalled measures the same changes while one connection of twenty does not read.
func (m *measurement) stalled(ctx context.Context) error {
	for _, stalled := range []int{0, stalls(m.shape.connections)} {
		m.fleet.stall(stalled)
		healthy := m.shape.streams() - stalled*m.shape.each
		if stalled > 0 {
			if err := m.fill(ctx, healthy); err != nil {
				return err
			}
		}
		if err := testbed.ResetPeak(m.subject.pid()); err != nil {
			return err
		}
		got, err := changes(ctx, m.subject, m.fleet, healthy, m.options.changes, m.rate)
		if err != nil {
			return err
		}
		_, peak, err := testbed.Resident(m.subject.pid())
		if err != nil {
			return err
		}
		m.tables.stalled = append(m.tables.stalled, row(
			m.shape, m.subject.name(), stalled, ms(percentile(got.deliveries, 0.5)), ms(percentile(got.deliveries, 0.99)),
			ms(percentile(got.last, 0.5)), ms(percentile(got.last, 0.99)), mib(peak), got.lost,
		))
	}
	return m.fleet.resume(ctx, stalls(m.shape.connections))
}

// fill writes changes that no window holds: the server stands before the stalled
// connections, waiting.
func (m *measurement) fill(ctx context.Context, healthy int) error {
	for range 6 {
		m.fleet.collector.renew()
		_, revision, err := m.subject.change(ctx, largeBytes)
		if err != nil {
			return err
		}
		if _, err := m.fleet.collector.awaitDelivered(ctx, revision, healthy); err != nil {
			return err
		}
	}
	return pause(ctx, settle)
}

// reconnects measures how long it takes until all are back.
func (m *measurement) reconnects(ctx context.Context) error {
	for _, c := range []struct {
		what  string
		kill  bool
		empty bool
	}{
		{"connections cut", false, false},
		{"connections cut, followers empty", false, true},
		{"server killed", true, false},
		{"server killed, followers empty", true, true},
	} {
		if err := m.subject.prepare(ctx, c.empty); err != nil {
			return err
		}
		h, err := reconnect(ctx, m.subject, m.fleet, m.shape.streams(), c.kill, c.empty)
		if errors.Is(err, errNotBack) { // a result, too; from here on there would be none
			m.tables.reconnects = append(m.tables.reconnects, row(c.what, m.shape, m.subject.name(), "-", "never", "-", "-", err))
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		m.tables.reconnects = append(m.tables.reconnects, row(
			c.what, m.shape, m.subject.name(), seconds(h.half), seconds(h.last), mib(h.resident), mib(h.peak), reasons(h.ends),
		))
		if err := pause(ctx, 10*settle); err != nil {
			return err
		}
	}
	return nil
}

// Command wire measures what one changed flag costs on a follower's connection, among few
// flags and among many.
//
//	go run ./bench/wire [-flags 10,1000,100000] [-changes 20]
//
// A real server process, and a real follower in this one, over loopback. Bytes are counted
// at the socket: HTTP/2 and gRPC framing, pings and window updates included, TCP and IP
// not. What is sent is the Ack, and what gRPC has to say. Medians over the changes:
// between some of them there is a heartbeat. At first is what it took to get everything.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/bench/testbed"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/replica"
)

const (
	patience = time.Minute
	// quiet is how long a connection has nothing to say when a change is over.
	quiet = 100 * time.Millisecond
)

func main() {
	sizes := flag.String("flags", "10,1000,100000", "numbers of flags in the environment")
	changes := flag.Int("changes", 20, "changes measured for each size")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *sizes, *changes)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "wire:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, sizes string, changes int) error {
	fmt.Fprintln(out, "| flags | received at first | definition | received for one change | at least | at most | sent for one change |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	return testbed.ForSizes(ctx, sizes, func(bin, data string, flags int) error {
		return measure(ctx, out, bin, data, flags, changes)
	})
}

func measure(ctx context.Context, out io.Writer, bin, data string, flags, changes int) error {
	server, err := testbed.StartServer(ctx, bin, data)
	if err != nil {
		return err
	}
	defer server.Stop()
	if err := server.Fill(ctx, testbed.Keys(flags), 0); err != nil {
		return err
	}
	var c counters
	followed, stop, err := c.follow(ctx, server.Addr)
	if err != nil {
		return err
	}
	defer stop()
	if err := await(ctx, func() bool { s := followed.Snapshot(); return s != nil && s.Len() >= flags }); err != nil {
		return fmt.Errorf("the follower has not got all flags: %w", err)
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	first := c.received.Load()

	var received, sent []int64
	size := 0
	for i := range changes {
		f := testbed.Sized(testbed.Key(i%flags), 0)
		f.Owner = fmt.Sprintf("owner-%02d", i)
		size = proto.Size(f)
		in, up := c.received.Load(), c.sent.Load()
		r, err := server.Control.Apply(ctx, &controlv1.ApplyRequest{
			Environment: testbed.Environment, Flags: []*controlv1.FlagWrite{{Flag: f}}, Reason: "measure",
		})
		if err != nil {
			return err
		}
		if err := await(ctx, func() bool { return followed.Snapshot().Cursor().Revision >= r.GetRevision() }); err != nil {
			return fmt.Errorf("the follower has not got revision %d: %w", r.GetRevision(), err)
		}
		if err := c.settle(ctx); err != nil {
			return err
		}
		received, sent = append(received, c.received.Load()-in), append(sent, c.sent.Load()-up)
	}
	slices.Sort(received)
	slices.Sort(sent)
	fmt.Fprintf(out, "| %d | %d | %d | %d | %d | %d | %d |\n", flags, first, size,
		received[changes/2], received[0], received[changes-1], sent[changes/2])
	return nil
}

// counters count the bytes of connections.
type counters struct{ received, sent atomic.Int64 }

// follow follows the server over a connection that is counted.
func (c *counters) follow(ctx context.Context, upstream string) (_ *replica.Replica, stop func(), err error) {
	set := replica.NewSet(replica.Options{})
	f, err := follower.New(follower.Options{
		Upstreams: []string{upstream}, Environments: []string{testbed.Environment}, Replicas: set,
		InstanceID: "follower", Logger: zerolog.Nop(),
		DialOptions: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
				if err != nil {
					return nil, err
				}
				return &countedConn{conn, c}, nil
			}),
		},
	})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.Run(ctx) // what it returns is that ctx ended
	}()
	return set.Replica(testbed.Environment), func() { cancel(); <-ended }, nil
}

// settle waits until nothing has come or gone for a while.
func (c *counters) settle(ctx context.Context) error {
	last, since := int64(-1), time.Now()
	return await(ctx, func() bool {
		if now := c.received.Load() + c.sent.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) >= quiet
	})
}

type countedConn struct {
	net.Conn
	counters *counters
}

// Read implements net.Conn.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.counters.received.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.counters.sent.Add(int64(n))
	return n, err
}

func await(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

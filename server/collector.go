package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/collector"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/usage"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/rpc/dial"
)

// collectorService takes telemetry: the leader collects it, the others pass it on to the
// leader, with the key that it came with. A stream ends with the term, and may be opened again
// then.
type collectorService struct {
	telemetryv1.UnimplementedCollectorServiceServer
	elector    *leader.Elector
	collector  *collector.Collector
	access     access
	instanceID string
	peers      *connections
	draining   chan struct{} // closed when streams are to end
	drainOnce  sync.Once
}

// makeCollector makes the candidate for the leader's office, and what it does in it. address is
// where the other servers find this one.
func (s *Server) makeCollector(address string) error {
	var err error
	s.usage, err = usage.NewRecorder(usage.Options{
		Store: s.store, Environments: s.replicas.Environments, Exists: s.hasFlag, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	collects, err := collector.New(collector.Options{
		Store: s.store, Judge: s.decider, Evaluated: s.usage.Observe, KeysUsed: s.keysUsed, Logger: s.logger, Registerer: s.options.Registry,
	})
	if err != nil {
		return err
	}
	s.elector, err = leader.New(leader.Options{
		Store: s.store, InstanceID: s.options.InstanceID, Address: address, Logger: s.logger, Registerer: s.options.Registry,
	})
	if err != nil {
		return err
	}
	s.telemetry = &collectorService{
		elector: s.elector, collector: collects, access: access{replicas: s.replicas, required: s.options.RequireKeys},
		instanceID: s.options.InstanceID, peers: newConnections(s.peers), draining: make(chan struct{}),
	}
	return nil
}

// hasFlag tells whether an environment has a flag, or may have: it is not loaded yet.
func (s *Server) hasFlag(environment, key string) bool {
	r := s.replicas.Replica(environment)
	if r == nil || r.Snapshot() == nil {
		return true
	}
	_, ok := r.Snapshot().Item(syncv1.Kind_KIND_FLAG, key)
	return ok
}

// Push implements telemetryv1.CollectorServiceServer.
func (s *collectorService) Push(stream grpc.BidiStreamingServer[telemetryv1.PushRequest, telemetryv1.PushResponse]) error {
	ctx := stream.Context()
	who, _, ok := s.elector.Leader()
	passedOn := forwarded(ctx)
	switch {
	case !ok:
		return status.Error(codes.Unavailable, "no server leads at the moment: connect again")
	case who.InstanceID == s.instanceID:
		key, err := s.access.key(ctx)
		if err != nil {
			return err
		}
		return s.collector.Push(stream, func(environment string) (string, error) { return s.access.mayTell(key, environment) })
	case passedOn:
		return status.Error(codes.Unavailable, "this server does not lead any more: connect again")
	case who.Address == "":
		return status.Errorf(codes.Unavailable, "server %s leads, and does not say where it is: give it --advertise-addr", who.InstanceID)
	}
	return s.passOn(stream, who)
}

// drain ends all streams that are passed on. Those that are collected here end with the term.
func (s *collectorService) drain() { s.drainOnce.Do(func() { close(s.draining) }) }

var errLeaderChanged = status.Error(codes.Unavailable, "another server leads now: connect again")

// passOn connects a stream with the leader, until one of them ends it, another leads, or
// this server stops.
func (s *collectorService) passOn(stream grpc.BidiStreamingServer[telemetryv1.PushRequest, telemetryv1.PushResponse], to leader.Record) error {
	conn, release, err := s.peers.acquire(to.Address)
	if err != nil {
		return status.Errorf(codes.Unavailable, "the leader, %s at %s: %v", to.InstanceID, to.Address, err)
	}
	defer release()
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() { s.awaitEnd(ctx, to, cancel) })

	header := metadata.Pairs(forwardedKey, s.instanceID)
	if key := metadata.ValueFromIncomingContext(ctx, accesskey.Header); len(key) > 0 {
		header.Set(accesskey.Header, key...)
	}
	up, err := telemetryv1.NewCollectorServiceClient(conn).Push(metadata.NewOutgoingContext(ctx, header))
	if err != nil {
		return endOf(ctx, err)
	}
	// It may be blocked in Recv when this returns, and ends with the stream then.
	go func() {
		if err := passRequests(stream, up); err != nil {
			cancel(err)
		}
	}()
	for {
		answer, err := up.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return endOf(ctx, err)
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// passRequests sends what comes on, until the other side closes its half.
func passRequests(from grpc.BidiStreamingServer[telemetryv1.PushRequest, telemetryv1.PushResponse], to grpc.BidiStreamingClient[telemetryv1.PushRequest, telemetryv1.PushResponse]) error {
	for {
		m, err := from.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return to.CloseSend()
		case err != nil:
			return err
		}
		if err := to.Send(m); err != nil {
			return nil //nolint:nilerr // Recv of that stream tells why it ended
		}
	}
}

// awaitEnd ends what is passed on once somebody else leads, or this server stops.
func (s *collectorService) awaitEnd(ctx context.Context, to leader.Record, end context.CancelCauseFunc) {
	for {
		now, changed, ok := s.elector.Leader()
		if !ok || now.Campaign != to.Campaign {
			end(errLeaderChanged)
			return
		}
		select {
		case <-changed:
		case <-s.draining:
			end(status.Error(codes.Unavailable, "this server shuts down: connect again"))
			return
		case <-ctx.Done():
			return
		}
	}
}

// endOf is why a stream that was passed on has ended.
func endOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// streamsEach is how many streams go over one connection to the leader, which takes some more.
const streamsEach = 500

// connections to other servers, each of them for as long as a stream needs it.
type connections struct {
	mu   sync.Mutex
	open map[string][]*connection // by address
	// secured is what they are made with.
	secured credentials.TransportCredentials
}

type connection struct {
	*grpc.ClientConn
	streams int
}

func newConnections(secured credentials.TransportCredentials) *connections {
	return &connections{open: make(map[string][]*connection), secured: secured}
}

// acquire returns a connection for one stream; release is called at its end.
func (c *connections) acquire(address string) (conn *grpc.ClientConn, release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.open[address], func(one *connection) bool { return one.streams < streamsEach })
	var one *connection
	if i >= 0 {
		one = c.open[address][i]
	} else {
		made, err := grpc.NewClient(address, append(dial.Options(), grpc.WithTransportCredentials(c.secured))...)
		if err != nil {
			return nil, nil, fmt.Errorf("connect: %w", err)
		}
		one = &connection{ClientConn: made}
		c.open[address] = append(c.open[address], one)
	}
	one.streams++
	return one.ClientConn, func() { c.release(address, one) }, nil
}

func (c *connections) release(address string, one *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.streams--; one.streams > 0 {
		return
	}
	c.open[address] = slices.DeleteFunc(c.open[address], func(o *connection) bool { return o == one })
	if len(c.open[address]) == 0 {
		delete(c.open, address)
	}
	_ = one.Close() // nobody uses it
}

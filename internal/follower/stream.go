package follower

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

const (
	protocol = 1
	// maxScopes is how many environments any upstream takes.
	maxScopes = 64
	// connectTimeout is how long an upstream may take to accept a connection.
	connectTimeout = 5 * time.Second
	// maxMessageBytes is far above what a chunk can be: 64 KiB and one item.
	maxMessageBytes = 16 << 20
	// missed heartbeats make a dead upstream.
	missed = 3
	// defaultHeartbeat stands until the upstream says, and for one that does not say.
	defaultHeartbeat = 5 * time.Second
	// maxHeartbeat is the longest interval that is believed.
	maxHeartbeat = time.Minute
)

func (f *Follower) dialOptions() []grpc.DialOption {
	return append([]grpc.DialOption{
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 20 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
	}, f.o.DialOptions...)
}

// follow opens one stream to the upstream and receives until it ends; it returns why. A
// connection lives as long as its stream: what to do about a broken one is decided by
// the rotation, not by gRPC.
func (f *Follower) follow(outer context.Context, upstream string) error {
	f.enter(State{Upstream: upstream, Hops: f.State().Hops, Err: f.State().Err})
	conn, err := grpc.NewClient(upstream, f.dialOptions()...)
	if err != nil {
		return fmt.Errorf("upstream address %q: %w", upstream, err)
	}
	defer conn.Close()

	ctx, cancel := context.WithCancelCause(context.WithoutCancel(outer))
	var receipts sync.WaitGroup
	defer receipts.Wait()
	defer cancel(nil)
	defer context.AfterFunc(outer, func() {
		time.AfterFunc(partTimeout, func() { cancel(outer.Err()) })
	})()
	limit := f.deadAfter(nil)
	silence := time.AfterFunc(limit, func() { cancel(errDead) })
	defer silence.Stop()

	stream, err := syncv1.NewSyncServiceClient(conn).Stream(ctx)
	if err != nil {
		return cause(ctx, err)
	}
	if err := stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: f.hello()}}); err != nil && !errors.Is(err, io.EOF) {
		return cause(ctx, err)
	}
	receipts.Go(func() { f.sendReceipts(ctx, outer.Done(), stream) })
	for {
		// Silence is the upstream's only while it is listened to.
		silence.Reset(limit)
		m, err := stream.Recv()
		silence.Stop()
		if err != nil {
			return cause(ctx, err)
		}
		f.metrics.messages.Inc()
		if err := f.intake.handle(m); err != nil {
			return err
		}
		if w := m.GetWelcome(); w != nil {
			limit = f.deadAfter(w)
			f.enter(State{Connected: true, Upstream: upstream, Hops: w.GetHops() + 1})
			f.o.Logger.Info().Str("upstream", upstream).Str("instance", w.GetInstanceId()).Uint32("hops", w.GetHops()+1).Msg("following")
		}
	}
}

// cause says why a stream ended: what ended it here goes before what gRPC makes of it.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	return err
}

// deadAfter is how long the upstream may be silent.
func (f *Follower) deadAfter(w *syncv1.Welcome) time.Duration {
	if f.o.DeadAfter > 0 {
		return f.o.DeadAfter
	}
	interval := w.GetHeartbeatInterval().AsDuration()
	if interval <= 0 {
		interval = defaultHeartbeat
	}
	return missed * min(max(interval, time.Second), maxHeartbeat)
}

func (f *Follower) hello() *syncv1.Hello {
	var path []string
	if f.o.Below != nil {
		below := f.o.Below.Path()
		path = append(path, below[max(len(below)-(maxHops-1), 0):]...)
	}
	f.streams++
	return &syncv1.Hello{
		Protocol:     protocol,
		InstanceId:   f.o.InstanceID,
		BootId:       f.bootID,
		Path:         append(path, f.o.InstanceID),
		Scopes:       f.intake.open(),
		Region:       f.o.Region,
		Version:      f.o.Version,
		FollowerKind: f.o.Kind,
		StreamNumber: f.streams,
	}
}

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
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/syncwire"
)

const (
	protocol = 1
	// maxScopes is how many environments any upstream takes.
	maxScopes = 64
	// connectTimeout is how long an upstream may take to accept a connection.
	connectTimeout = 5 * time.Second
	// maxMessageBytes is far above what a chunk can be: 64 KiB and one item.
	maxMessageBytes = 16 << 20
	// windowBytes may be on their way at once.
	windowBytes = 4 << 20
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
		// Fixed windows: no pings to find better ones, which cost a server with many followers
		// as much as the changes do.
		grpc.WithStaticStreamWindowSize(windowBytes), grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.ForceCodecV2(syncwire.Codec())),
	}, f.o.DialOptions...)
}

// follow opens one stream to the upstream and receives until it ends; it returns why. A
// connection lives as long as its stream: what to do about a broken one is decided by
// the rotation, not by gRPC.
func (f *Follower) follow(outer context.Context, upstream string, r *rotation) error {
	f.leave(upstream, f.State().Err)
	f.intake.begin()
	conn, err := grpc.NewClient(upstream, f.dialOptions()...)
	if err != nil {
		return fmt.Errorf("upstream address %q: %w", upstream, err)
	}
	defer conn.Close()

	ctx, fresh, err := f.key.present(context.WithoutCancel(outer))
	if err != nil {
		return err
	}
	if fresh {
		f.intake.forgive()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel(nil)
	defer context.AfterFunc(outer, func() {
		time.AfterFunc(partTimeout, func() { cancel(outer.Err()) })
	})()
	limit := f.deadAfter(nil)
	silence := time.AfterFunc(limit, func() {
		if !fault.Planted("never-dead") {
			cancel(errDead)
		}
	})
	defer silence.Stop()

	stream, err := syncv1.NewSyncServiceClient(conn).Stream(ctx)
	if err != nil {
		return cause(ctx, err)
	}
	if err := stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: f.hello()}}); err != nil && !errors.Is(err, io.EOF) {
		return cause(ctx, err)
	}
	if wait, ok := f.intake.untilAsk(time.Now()); ok {
		ask := time.AfterFunc(wait, func() { cancel(errAsk) })
		defer ask.Stop()
	}
	if f.o.Key != nil {
		beside.Go(func() {
			select {
			case <-f.key.changed:
				cancel(errKey)
			case <-ctx.Done():
			}
		})
	}
	previews := newPreviews(f.o.Previewer)
	if previews != nil {
		beside.Go(func() { previews.run(ctx) })
	}
	beside.Go(func() { f.sendReceipts(ctx, outer.Done(), stream, previews) })
	for {
		// Silence is the upstream's only while it is listened to.
		silence.Reset(limit)
		m, err := stream.Recv()
		silence.Stop()
		if err != nil {
			return cause(ctx, err)
		}
		f.metrics.messages.Inc()
		if err := f.intake.handle(m, time.Now()); err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *syncv1.StreamResponse_Welcome:
			limit = f.deadAfter(m.Welcome)
			f.enter(State{Connected: true, Upstream: upstream, Path: f.intake.path})
			f.o.Logger.Info().Str("upstream", upstream).Strs("path", f.intake.path).Msg("following")
		case *syncv1.StreamResponse_Preview:
			previews.ask(m.Preview)
		case *syncv1.StreamResponse_Heartbeat:
			if m.Heartbeat.GetPath() != nil {
				f.moved()
			}
			if err := f.checkAge(upstream, r); err != nil {
				return err
			}
		}
	}
}

// checkAge leaves an upstream that lives, but does not get what is new, once another one
// may be better.
func (f *Follower) checkAge(upstream string, r *rotation) error {
	now := time.Now()
	age := f.intake.age(now)
	// With each hop a state may be older by the time between two heartbeats.
	limit := f.o.StaleAfter + time.Duration(max(f.State().Hops(), 1)-1)*defaultHeartbeat
	if age <= limit || now.Sub(f.State().Since) < f.o.StaleAfter || !r.better(upstream, age, now) {
		return nil
	}
	return fmt.Errorf("%w: what it has is %s old", errStale, age.Round(time.Millisecond))
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
	var capabilities []syncv1.Capability
	if f.o.Previewer != nil {
		capabilities = append(capabilities, syncv1.Capability_CAPABILITY_PREVIEW)
	}
	return &syncv1.Hello{
		Protocol:     protocol,
		InstanceId:   f.o.InstanceID,
		BootId:       f.bootID,
		Path:         append(path, f.o.InstanceID),
		Scopes:       f.intake.open(time.Now()),
		Region:       f.o.Region,
		Version:      f.o.Version,
		FollowerKind: f.o.Kind,
		StreamNumber: f.streams,
		Capabilities: capabilities,
	}
}

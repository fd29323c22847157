package follower

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/tree"
)

const (
	// reportGap is the least time between Reports: what changes within it is told in one.
	reportGap = 20 * time.Millisecond
	// reportTick is how often what need not be told at once is looked for.
	reportTick = time.Second
	// reportAges is after how many ticks ages are told.
	reportAges = 5
	// partTimeout is how long an upstream has to learn that this process ends by itself.
	partTimeout = 100 * time.Millisecond
)

// receipts is the goroutine that sends, after Hello: Acks, and a relay's Reports and PreviewAnswers. When
// ended is closed it closes the sending side, as one who stops serving does.
type receipts struct {
	stream  syncv1.SyncService_StreamClient
	durable *newest
	self    func() *syncv1.RelayStatus
	acks    acks
	// observer may be nil.
	observer Observer
	below    *tree.Subscription // nil: reports nothing
	// streams as they were last told.
	streams uint32
	// previews are answers; nil: none.
	previews <-chan *syncv1.PreviewAnswer
}

// sendReceipts sends until ctx ends, ended is closed, or the stream does not take them.
func (f *Follower) sendReceipts(ctx context.Context, ended <-chan struct{}, stream syncv1.SyncService_StreamClient, previews *previews) {
	r := &receipts{previews: previews.answered(), stream: stream, durable: f.durable.durable, self: f.self, acks: make(acks), observer: f.o.Observer}
	if f.o.Below != nil {
		r.below = f.o.Below.Subscribe()
		defer r.below.Close()
	}
	if r.run(ctx, ended) == nil {
		_ = stream.CloseSend() // never fails
	}
}

// run returns nil once ended is closed.
func (r *receipts) run(ctx context.Context, ended <-chan struct{}) error {
	var changed <-chan struct{}
	var tick, gap <-chan time.Time
	if r.below != nil {
		ticker := time.NewTicker(reportTick)
		defer ticker.Stop()
		tick = ticker.C
		if err := r.report(true); err != nil {
			return err
		}
		changed = r.below.Changed()
	}
	for ticks := 1; ; {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return nil
		case <-r.durable.wake:
			err = r.acknowledge()
		case a := <-r.previews:
			err = r.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_PreviewAnswer{PreviewAnswer: a}})
		case <-changed:
			err = r.report(false)
			changed, gap = nil, time.After(reportGap)
		case <-gap:
			changed, gap = r.below.Changed(), nil
		case <-tick:
			err = r.report(ticks%reportAges == 0)
			ticks++
		}
		if err != nil {
			return err // the receiving side learns why
		}
	}
}

// acknowledge sends an Ack for each environment that has become durable.
func (r *receipts) acknowledge() error {
	for _, s := range r.durable.all() {
		fault.Point(fault.FollowerBeforeAck)
		if r.observer != nil {
			r.observer.Acknowledging(s)
		}
		if err := r.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Ack{Ack: r.acks.of(s)}}); err != nil {
			return err
		}
	}
	return nil
}

// report tells what is new below; and of this process itself, if that is asked for or its
// streams are others.
func (r *receipts) report(self bool) error {
	first := &syncv1.Report{}
	if own := r.self(); self || own.GetStreams() != r.streams {
		r.streams = own.GetStreams()
		first.Relays = append(first.Relays, own)
	}
	for next := first; next != nil; next = r.below.Take() {
		if len(next.GetRelays())+len(next.GetDepartures()) == 0 {
			continue
		}
		if err := r.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Report{Report: next}}); err != nil {
			return err
		}
	}
	return nil
}

// self is what a relay tells of itself.
func (f *Follower) self() *syncv1.RelayStatus {
	s := &syncv1.RelayStatus{InstanceId: f.o.InstanceID, Streams: uint32(f.o.Below.Streams())}
	for _, name := range f.o.Environments {
		if age, ok := f.o.Replicas.Replica(name).ConfirmedAge(); ok {
			s.Environments = append(s.Environments, &syncv1.RelayEnvironment{Environment: name, Age: durationpb.New(age)})
		}
	}
	return s
}

package uplink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/spool"
	"github.com/tidegate/tidegate/internal/uplink"
)

// relay is an uplink that serves, below a collector.
func relay(t *testing.T, n *network, change func(*uplink.Options)) *uplink.Uplink {
	t.Helper()
	o := n.options("relay", "top", openSpool(t, "relay", ""))
	if change != nil {
		change(&o)
	}
	u, _ := run(t, o)
	n.serve(t, "relay", u)
	eventually(t, "the relay is connected", func() bool { return u.State().Connected })
	return u
}

// TestRelayed: batches from below go up byte for byte, with what this version does not know,
// and each stream gets the acknowledgements of what it sent.
func TestRelayed(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	var unknown atomic.Value
	c.then = func(_ *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		return stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
	}
	n.serve(t, "top", &spy{collector: c, unknown: &unknown})
	relay(t, n, nil)
	one, other := n.client(t, "relay"), n.client(t, "relay")
	r := request("one", 1, 7)
	future := []byte{0xfa, 0x3f, 3, 'n', 'e', 'w'} // field 1023
	r.Batch.ProtoReflect().SetUnknown(future)
	for sequence := range uint64(3) {
		for who, stream := range map[string]telemetryv1.CollectorService_PushClient{"one": one, "other": other} {
			q := request(who, sequence+1, 7)
			if who == "one" && sequence == 0 {
				q = r
			}
			if err := stream.Send(q); err != nil {
				t.Fatal(err)
			}
			answer, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if ack := answer.GetAcknowledged(); ack.GetInstanceId() != who || ack.GetSequence() != sequence+1 || ack.GetBootId() != "boot" {
				t.Errorf("%s, batch %d: acknowledged %v", who, sequence+1, ack)
			}
		}
	}
	if got, _ := unknown.Load().([]byte); !bytes.Equal(got, future) {
		t.Errorf("what is not known arrived as %q", got)
	}
	if err := errors.Join(one.CloseSend(), other.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("a stream that is closed ends with %v", err)
	}
	c.check(t)
}

// spy keeps what it does not know.
type spy struct {
	*collector
	unknown *atomic.Value
}

func (s *spy) Push(stream telemetryv1.CollectorService_PushServer) error {
	return s.collector.Push(&spyStream{stream, s.unknown})
}

type spyStream struct {
	telemetryv1.CollectorService_PushServer
	unknown *atomic.Value
}

func (s *spyStream) Recv() (*telemetryv1.PushRequest, error) {
	r, err := s.CollectorService_PushServer.Recv()
	if b := r.GetBatch().ProtoReflect().GetUnknown(); len(b) > 0 {
		s.unknown.Store([]byte(b))
	}
	return r, err
}

// TestOtherCodec: a server and an upstream that know nothing of encoded messages do as well.
func TestOtherCodec(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	n.serve(t, "top", c)
	u := relay(t, n, func(o *uplink.Options) {
		o.DialOptions = append(o.DialOptions, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(uplink.PlainCodec())))
	})
	n.serve(t, "plain", u, grpc.ForceServerCodecV2(uplink.PlainCodec()))
	stream := n.client(t, "plain")
	if err := stream.Send(request("leaf", 1, 7)); err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || answer.GetAcknowledged().GetSequence() != 1 {
		t.Errorf("%v, %v", answer, err)
	}
	c.check(t)
}

// TestRefused: what may not be passed on ends the stream with an error that says why, and
// nothing of it goes up.
func TestRefused(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	n.serve(t, "top", c)
	relay(t, n, func(o *uplink.Options) {
		o.Environments = []string{"production", "secret", "odd"}
		o.Authorize = func(_ context.Context, environment string) error {
			switch environment {
			case "secret":
				return status.Error(codes.Unauthenticated, "a key is required")
			case "odd":
				return errors.New("no right to odd")
			}
			return nil
		}
	})
	change := func(f func(b *telemetryv1.Batch)) *telemetryv1.PushRequest {
		r := request("leaf", 1, 7)
		f(r.Batch)
		return r
	}
	for what, test := range map[string]struct {
		request *telemetryv1.PushRequest
		code    codes.Code
		says    string
	}{
		"no key":    {change(func(b *telemetryv1.Batch) { b.Environment = "secret" }), codes.Unauthenticated, "a key is required"},
		"no right":  {change(func(b *telemetryv1.Batch) { b.Environment = "odd" }), codes.PermissionDenied, "no right to odd"},
		"its own":   {change(func(b *telemetryv1.Batch) { b.Sender.InstanceId = "relay" }), codes.FailedPrecondition, "own batches came back"},
		"no sender": {change(func(b *telemetryv1.Batch) { b.Sender = nil }), codes.InvalidArgument, "sender: instance_id: empty"},
		"long id":   {change(func(b *telemetryv1.Batch) { b.Sender.BootId = strings.Repeat("x", 65) }), codes.InvalidArgument, "boot_id: 65 bytes"},
		"no text":   {change(func(b *telemetryv1.Batch) { b.Sender.InstanceId = "a\nb" }), codes.InvalidArgument, "instance_id: \"a\\nb\": want text"},
		"sequence":  {change(func(b *telemetryv1.Batch) { b.Sender.Sequence = 0 }), codes.InvalidArgument, "sequence 0"},
		"the last":  {change(func(b *telemetryv1.Batch) { b.Sender.Sequence = math.MaxUint64 }), codes.InvalidArgument, "sequence 18446744073709551615"},
		"nothing":   {&telemetryv1.PushRequest{}, codes.InvalidArgument, "sender: instance_id: empty"},
	} {
		stream := n.client(t, "relay")
		if err := stream.Send(test.request); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %s: %s", what, err, test.code, test.says)
		}
	}
	if len(c.countedNow()) > 0 {
		t.Errorf("counted %v", c.countedNow())
	}
}

// TestRefusals: those from above come down to whoever sent the batch, before what follows;
// those of this relay not before what it passed on before is answered. They are lost, and hold
// up nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	release := make(chan struct{})
	c.then = func(_ *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		answer := &telemetryv1.PushResponse{Acknowledged: ack}
		switch ack.GetSequence() {
		case 1:
			<-release
		case 3:
			answer.Refusal = "nonsense"
		}
		return stream.Send(answer)
	}
	n.serve(t, "top", c)
	relay(t, n, func(o *uplink.Options) {
		o.Environments = []string{"production", "secret"}
		o.Authorize = func(_ context.Context, environment string) error {
			if environment == "secret" {
				return fmt.Errorf("%w: no right to secret", uplink.ErrRefused)
			}
			return nil
		}
	})
	stream := n.client(t, "relay")
	for i, environment := range []string{"production", "staging", "production", "secret", "production", "staging"} {
		r := request("leaf", uint64(i+1), 7)
		r.Batch.Environment = environment
		r.Batch.Tally = &telemetryv1.Tally{Emitted: 7 * uint64(i+1), Lost: 7 * uint64(i/2), Counted: 7}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	var told []string
	for last := uint64(0); last < 6; {
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if answer.GetAcknowledged().GetSequence() < last {
			t.Errorf("%v came after %d", answer, last)
		}
		last = answer.GetAcknowledged().GetSequence()
		if why := answer.GetRefusal(); why != "" {
			told = append(told, fmt.Sprint(last, " ", why))
		}
	}
	want := []string{
		`2 environment "staging" is not followed here: this relay follows ["production" "secret"]`,
		"3 nonsense", "4 telemetry refused: no right to secret",
		`6 environment "staging" is not followed here: this relay follows ["production" "secret"]`,
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	if len(c.countedNow()) != 3 {
		t.Errorf("the upstream got %v", c.countedNow())
	}
}

// TestUndecodable: what nobody further up could decode is refused here, and does not end the
// stream that everybody's batches go up on.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	n.serve(t, "top", c)
	u := relay(t, n, nil)
	since := u.State().Since
	stream := n.client(t, "relay")
	for i, field := range [][]byte{
		{0x1a, 3, 0x1a, 1, 0x0a},          // a window whose cell is cut off
		{0x1a, 5, 0x1a, 3, 0x0a, 1, 0xff}, // a rollout that is not UTF-8
		{0x2a, 1, 0x08},                   // a tally that is cut off
		{0x0a, 1, 0xff},                   // an environment that is not UTF-8
	} {
		r := request("leaf", uint64(i+1), 7)
		r.Batch.ProtoReflect().SetUnknown(field)
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatalf("%x: %v", field, err)
		}
		if answer.GetAcknowledged().GetSequence() != uint64(i+1) || answer.GetRefusal() == "" {
			t.Errorf("%x: %v", field, answer)
		}
	}
	if err := stream.Send(request("leaf", 9, 7)); err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || answer.GetRefusal() != "" {
		t.Errorf("what follows: %v, %v", answer, err)
	}
	if s := u.State(); !s.Connected || s.Since != since {
		t.Errorf("the relay's own stream ended: %+v", s)
	}
	if got := c.countedNow(); len(got) != 1 {
		t.Errorf("counted %v", got)
	}
}

// TestHalfClosed: who has said all, and closes its half of the stream, is answered all the same.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	release := make(chan struct{})
	c.then = func(_ *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		<-release
		return stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
	}
	n.serve(t, "top", c)
	relay(t, n, nil)
	stream := n.client(t, "relay")
	for sequence := range uint64(3) {
		if err := stream.Send(request("leaf", sequence+1, 7)); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	close(release)
	var last uint64
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = answer.GetAcknowledged().GetSequence()
	}
	if last != 3 {
		t.Errorf("acknowledged up to %d", last)
	}
}

// TestOwnRefused: a batch of this process that is refused is lost, and the next is sent.
func TestOwnRefused(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	c.then = func(_ *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		answer := &telemetryv1.PushResponse{Acknowledged: ack}
		if ack.GetSequence() == 2 {
			answer.Refusal = "nonsense"
		}
		return stream.Send(answer)
	}
	n.serve(t, "top", c)
	s := openSpool(t, "relay", "")
	for i := range uint64(3) {
		add(t, s, i+1)
	}
	run(t, n.options("relay", "top", s))
	eventually(t, "everything is answered", settled(s))
	if total := s.Totals(); total.Acknowledged != 4 || total.Lost[spool.ReasonRefused] != 2 {
		t.Errorf("%+v", total)
	}
}

// TestChildGone: what a child sent that went away is counted, its acknowledgement dropped;
// others go on.
func TestChildGone(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	gone := make(chan struct{})
	c.then = func(_ *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		if ack.GetInstanceId() == "leaf" && ack.GetSequence() == 1 {
			<-gone
		}
		return stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
	}
	n.serve(t, "top", c)
	relay(t, n, nil)
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := grpc.NewClient(address("relay"), n.dialOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := telemetryv1.NewCollectorServiceClient(conn).Push(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(request("leaf", 1, 7)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is counted", func() bool { return len(c.countedNow()) == 1 })
	cancel()
	_ = conn.Close()
	again := n.client(t, "relay")
	for sequence := range uint64(2) { // the first one once more
		if err := again.Send(request("leaf", sequence+1, 7)); err != nil {
			t.Fatal(err)
		}
	}
	close(gone)
	for last := uint64(0); last < 2; {
		answer, err := again.Recv()
		if err != nil {
			t.Fatal(err)
		}
		last = answer.GetAcknowledged().GetSequence()
	}
	if len(c.countedNow()) != 2 || c.streamsNow() != 1 {
		t.Errorf("counted %v, on %d streams", c.countedNow(), c.streamsNow())
	}
	c.check(t)
}

// TestFlood: a child that sends without an end is read no faster than the upstream reads.
func TestFlood(t *testing.T) {
	t.Parallel()
	const size, bound = 32 << 10, 512 << 10
	n := newNetwork()
	top := &slow{turn: make(chan struct{}), got: make(chan struct{})}
	n.serve(t, "top", top, grpc.StaticStreamWindowSize(64<<10), grpc.StaticConnWindowSize(64<<10))
	var read atomic.Int64
	relay(t, n, func(o *uplink.Options) {
		o.Authorize = func(context.Context, string) error { read.Add(1); return nil }
	})
	stream := n.client(t, "relay")
	go func() {
		for sequence := uint64(1); ; sequence++ {
			r := request("flood", sequence, 1)
			r.Batch.Windows[0].Cells[0].Rollout = strings.Repeat("x", size)
			if stream.Send(r) != nil {
				return
			}
		}
	}()
	for taken := range int64(200) {
		// What the relay holds, and what is in the windows and buffers between it and the
		// upstream.
		if ahead := read.Load() - taken; ahead > bound/size {
			t.Fatalf("%d messages were read, %d taken by the upstream", read.Load(), taken)
		}
		top.turn <- struct{}{}
		<-top.got
	}
}

// slow reads when it is told to, and acknowledges nothing.
type slow struct {
	telemetryv1.UnimplementedCollectorServiceServer
	turn, got chan struct{}
}

func (s *slow) Push(stream telemetryv1.CollectorService_PushServer) error {
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.turn:
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		s.got <- struct{}{}
	}
}

// TestUpstreamLost: when the stream to the upstream ends, so do those from below.
func TestUpstreamLost(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	c.then = func(*collector, telemetryv1.CollectorService_PushServer, *telemetryv1.Sender) error { return nil }
	n.serve(t, "top", c)
	relay(t, n, nil)
	stream := n.client(t, "relay")
	if err := stream.Send(request("leaf", 1, 7)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is counted", func() bool { return len(c.countedNow()) == 1 })
	n.cut("top")
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

func FuzzIdentify(f *testing.F) {
	whole, err := proto.Marshal(request("leaf", 1, 7))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:10])
	f.Add(append(whole, whole...))
	f.Fuzz(func(t *testing.T, wire []byte) {
		environment, sender, err := uplink.Identify(wire)
		if err != nil {
			if status.Code(err) != codes.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		r := &telemetryv1.PushRequest{}
		if proto.Unmarshal(wire, r) != nil {
			return // the rest is the collector's to judge
		}
		if r.GetBatch().GetEnvironment() != environment || !proto.Equal(r.GetBatch().GetSender(), sender) {
			t.Fatalf("identified as %q, %v; decoded %v", environment, sender, r)
		}
	})
}

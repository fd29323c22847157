//go:build unix

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// unknown is a field that nobody knows.
var unknown = protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "of a later version")

// later marks a message as one of a later version.
func later[M interface{ ProtoReflect() protoreflect.Message }](m M) M {
	m.ProtoReflect().SetUnknown(unknown)
	return m
}

// TestLaterFollower: server and relay serve a follower that says more than they know.
func TestLaterFollower(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.single()
	edge := s.relay(srv.GRPC)
	s.load()
	for _, addr := range []string{srv.GRPC, edge.GRPC} {
		ctx, cancel := context.WithTimeout(s.ctx, bed.Patience)
		defer cancel()
		hello := later(bed.Hello("later", nil))
		hello.Capabilities = []syncv1.Capability{99}
		hello.FollowerKind = 77
		later(hello.GetScopes()[0])
		f, err := bed.Follow(ctx, addr, hello)
		s.must(err)
		s.must(f.Send(later(&syncv1.StreamRequest{}))) // a message that nobody knows
		for range 3 {
			_, err := f.Update()
			s.must(err)
		}
	}
	s.converge()
}

// laterServer is a sync server of a later version. It serves one state.
type laterServer struct {
	syncv1.UnimplementedSyncServiceServer
	state *snapshot.Snapshot
}

// kindLater is a kind of items that nobody knows.
const kindLater = 42

func newLaterServer(t *testing.T) (_ *laterServer, addr string) {
	t.Helper()
	flag, err := proto.Marshal(later((&churned{key: "known", enabled: true, count: 7}).asFlag()))
	if err != nil {
		t.Fatal(err)
	}
	s := &laterServer{}
	s.state, _ = snapshot.New(bed.Environment, snapshot.Epoch{Counter: 1, Random: 1}).Next(5, []snapshot.Item{
		{Kind: syncv1.Kind_KIND_FLAG, Key: "known", ModRevision: 5, Data: flag},
		{Kind: kindLater, Key: "strange", ModRevision: 5, Data: []byte("\x00anything\xff")},
	}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	syncv1.RegisterSyncServiceServer(server, s)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return s, l.Addr().String()
}

// Stream implements syncv1.SyncServiceServer.
func (s *laterServer) Stream(stream syncv1.SyncService_StreamServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	messages := []*syncv1.StreamResponse{
		{Message: &syncv1.StreamResponse_Welcome{Welcome: later(&syncv1.Welcome{
			HeartbeatInterval: durationpb.New(time.Second), HeadRevision: 5, MaxScopes: 64, InstanceId: "later", Path: []string{"later"},
		})}},
		later(&syncv1.StreamResponse{}), // a message that nobody knows
	}
	for u := range s.state.Updates() {
		messages = append(messages, &syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: later(u)}})
	}
	for _, m := range messages {
		if err := stream.Send(later(m)); err != nil {
			return err
		}
	}
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(time.Second):
		}
		beat := later(&syncv1.Heartbeat{Environments: []*syncv1.EnvironmentStatus{later(&syncv1.EnvironmentStatus{
			Environment: bed.Environment, Cursor: s.state.Cursor().Proto(), Age: durationpb.New(0),
		})}})
		if err := stream.Send(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Heartbeat{Heartbeat: beat}}); err != nil {
			return err
		}
	}
}

// TestLaterServer: a relay uses what it knows of a later server's state, and passes on all
// of it, byte for byte, from its disk too.
func TestLaterServer(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	later, addr := newLaterServer(t)
	edge := s.relay(addr)
	behind := s.relay(edge.GRPC)
	edge.Kill()
	edge.links[0].Refuse(true)
	edge.Start()
	for _, r := range []*relay{edge, behind} {
		bed.Eventually(s, "the flag is served", func() error {
			a, err := evaluationv1.NewEvaluationServiceClient(bed.Dial(s, r.GRPC)).Evaluate(s.ctx,
				&evaluationv1.EvaluateRequest{Environment: bed.Environment, FlagKey: "known"})
			if err == nil && a.GetIntValue() != 7 {
				err = fmt.Errorf("it is %v", a)
			}
			return err
		})
		bed.Eventually(s, "the state is passed on", func() error {
			got, err := bed.State(s.ctx, r.GRPC)
			if err != nil {
				return err
			}
			if got.Len() != later.state.Len() {
				return errors.New("not all of it")
			}
			for want := range later.state.Items() {
				if item, _ := got.Item(want.Kind, want.Key); !bytes.Equal(item.Data, want.Data) {
					return fmt.Errorf("%s is %q, want %q", want.Key, item.Data, want.Data)
				}
			}
			return nil
		})
	}
}

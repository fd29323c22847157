package bed

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Follower follows as a relay does, and gets to see every message.
type Follower struct {
	stream syncv1.SyncService_StreamClient
}

// Hello is a follower's first message, from a cursor or, without one, from nothing.
func Hello(instanceID string, cursor *syncv1.Cursor) *syncv1.Hello {
	return &syncv1.Hello{
		Protocol: 1, InstanceId: instanceID, BootId: uuid.NewString(), Path: []string{instanceID},
		Scopes: []*syncv1.Scope{{Environment: Environment, Cursor: cursor}},
	}
}

// Follow opens a stream, which ends with ctx, and its connection with it.
func Follow(ctx context.Context, addr string, hello *syncv1.Hello) (*Follower, error) {
	conn, err := connect(addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	stream, err := syncv1.NewSyncServiceClient(conn).Stream(ctx)
	if err != nil {
		return nil, err
	}
	return &Follower{stream}, stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: hello}})
}

// Send sends a message.
func (f *Follower) Send(m *syncv1.StreamRequest) error { return f.stream.Send(m) }

// Recv receives a message.
func (f *Follower) Recv() (*syncv1.StreamResponse, error) { return f.stream.Recv() }

// Update receives until an update is whole.
func (f *Follower) Update() (snapshot.Delta, error) {
	var staged snapshot.Assembler
	for {
		m, err := f.Recv()
		if err != nil {
			return snapshot.Delta{}, err
		}
		if g := m.GetGoodbye(); g != nil {
			return snapshot.Delta{}, fmt.Errorf("goodbye %s: %s", g.GetCode(), g.GetMessage())
		}
		if m.GetUpdate() == nil {
			continue
		}
		if d, done, err := staged.Add(m.GetUpdate()); done || err != nil {
			return d, err
		}
	}
}

// State asks a server or relay for everything, and verifies what it gets. A first state may
// be one of a moment before; the newest is there when a heartbeat says so.
func State(ctx context.Context, addr string) (*snapshot.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	f, err := Follow(ctx, addr, Hello("state-"+uuid.NewString(), nil))
	if err != nil {
		return nil, err
	}
	var state *snapshot.Snapshot
	var staged snapshot.Assembler
	for {
		m, err := f.Recv()
		switch {
		case err != nil:
			return nil, err
		case m.GetGoodbye() != nil:
			return nil, fmt.Errorf("goodbye %s: %s", m.GetGoodbye().GetCode(), m.GetGoodbye().GetMessage())
		case state != nil && len(m.GetHeartbeat().GetEnvironments()) > 0:
			return state, nil
		case m.GetUpdate() == nil:
			continue
		}
		d, done, err := staged.Add(m.GetUpdate())
		if err == nil && done {
			if state == nil {
				state = snapshot.New(Environment, d.Target.Epoch)
			}
			state, err = state.Apply(d)
		}
		if err != nil {
			return nil, err
		}
	}
}

// SameState demands that all servers and relays hold the same; it returns that.
func SameState(ctx context.Context, addrs ...string) (*snapshot.Snapshot, error) {
	var first *snapshot.Snapshot
	for _, addr := range addrs {
		s, err := State(ctx, addr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", addr, err)
		}
		if first == nil {
			first = s
		}
		if !s.Cursor().SameState(first.Cursor()) {
			return nil, fmt.Errorf("%s has %s, %s has %s", addrs[0], first.Cursor(), addr, s.Cursor())
		}
	}
	return first, nil
}

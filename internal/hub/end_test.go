package hub_test

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
)

func TestDrain(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production", "empty")
	state := b.publish("production", 1, "a")
	a, waiting := b.follow(nil, "production"), b.follow(nil, "empty")
	a.expect(full, state)
	silent := b.open() // without a hello
	b.hub.Drain()
	b.hub.Drain()
	for _, c := range []*client{a, waiting, silent} {
		if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_DRAINING || g.GetBackoff().AsDuration() <= 0 {
			t.Errorf("goodbye %v", g)
		}
	}
	late := b.open()
	late.hello(hello("late", "production"))
	if g := late.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_DRAINING {
		t.Errorf("goodbye %v", g)
	}
	eventually(t, "no follower", func() bool { return len(b.hub.Followers()) == 0 })
}

// stall opens a stream that does not read: the hub blocks in the middle of a large state.
func stall(b *bed) *client {
	c := stallSoon(b)
	eventually(b.t, "a follower", func() bool { return len(b.hub.Followers()) == 1 })
	return c
}

func stallSoon(b *bed) *client {
	b.publish("production", 10_000, keys(200)...)
	c := b.open()
	c.hello(hello("stalled", "production"))
	return c
}

func TestFollowerThatDoesNotRead(t *testing.T) {
	b := newBed(t, hub.Options{SendTimeout: 20 * time.Millisecond}, 0, "production")
	c := stallSoon(b)
	eventually(t, "the end", func() bool { return b.ended.Load() == 1 })
	if f := b.hub.Followers(); len(f) != 0 {
		t.Errorf("followers %v", f)
	}
	var err error
	for err == nil {
		_, err = c.stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
}

func TestDrainOfFollowerThatDoesNotRead(t *testing.T) {
	b := newBed(t, hub.Options{SendTimeout: time.Hour}, 0, "production")
	stall(b)
	b.hub.Drain()
	eventually(t, "no follower", func() bool { return len(b.hub.Followers()) == 0 })
}

// TestDrainInTheMiddle: a large state is not sent to its end first.
func TestDrainInTheMiddle(t *testing.T) {
	b := newBed(t, hub.Options{SendTimeout: time.Hour}, 0, "production")
	c := stall(b)
	b.hub.Drain()
	for {
		m, err := c.stream.Recv()
		if err != nil {
			break
		}
		if m.GetUpdate().GetCommit() != nil {
			t.Fatal("it was sent to its end")
		}
	}
}

// TestNothingIsSentAfterTheEnd: followers come and go among changes; the guard of the
// bed watches. The handler returns only when nothing uses its stream any more.
func TestNothingIsSentAfterTheEnd(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: 50 * time.Microsecond}, 0, "production")
	b.publish("production", 1, "a")
	stop := make(chan struct{})
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Microsecond):
				b.publish("production", 1, "a")
			}
		}
	})
	for i := range 100 {
		c := b.follow(nil, "production")
		c.update()
		if i%2 == 0 {
			c.cancel()
			continue
		}
		if err := c.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var err error
		for err == nil {
			_, err = c.stream.Recv()
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	close(stop)
	publisher.Wait()
	eventually(t, "no follower", func() bool { return len(b.hub.Followers()) == 0 })
}

func TestFollowerThatDisappears(t *testing.T) {
	b := newBed(t, hub.Options{SendTimeout: time.Hour}, 0, "production")
	stall(b).cancel()
	eventually(t, "no follower", func() bool { return len(b.hub.Followers()) == 0 })
}

package relay

import (
	"fmt"
	"testing"
	"time"
)

// So many senders are known; those that were silent for a while make room, and who is known goes
// on.
func TestManySenders(t *testing.T) {
	t.Parallel()
	s, now := newSenders(), time.Now()
	for i := range maxSenders {
		if s.of(senderKey{"sdk", fmt.Sprint(i)}, now) == nil {
			t.Fatalf("sender %d has no room", i)
		}
	}
	began := time.Now()
	for i := range 100_000 {
		if s.of(senderKey{"more", fmt.Sprint(i)}, now) != nil {
			t.Fatal("there are too many")
		}
	}
	t.Logf("100,000 that have no room: %v", time.Since(began))
	known := s.of(senderKey{"sdk", "7"}, now.Add(senderIdle))
	if known == nil {
		t.Error("one that is known has to wait")
	}
	if s.of(senderKey{"more", "1"}, now.Add(senderIdle+time.Second)) == nil || len(s.list) != 2 {
		t.Errorf("%d are left once all but one were silent", len(s.list))
	}
	if s.of(senderKey{"sdk", "7"}, now.Add(senderIdle+time.Second)) != known {
		t.Error("one that was heard of was forgotten")
	}
}

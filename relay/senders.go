package relay

import (
	"sync"
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// senderKey names a sender's boot.
type senderKey struct{ instance, boot string }

func keyOf(s *telemetryv1.Sender) senderKey { return senderKey{s.GetInstanceId(), s.GetBootId()} }

const (
	// maxSenders is how many senders are known at the same time.
	maxSenders = 65_536
	// senderIdle is how long one is remembered here. What it sent is remembered longer in the
	// spool's marks.
	senderIdle = 10 * time.Minute
	// lookForIdle is between two looks for those.
	lookForIdle = time.Second
)

// senders are those that this process has heard of, besides the spool's marks: what is not
// on disk yet, too.
type senders struct {
	mu     sync.Mutex
	list   map[senderKey]*sender
	looked time.Time // for idle ones
}

func newSenders() *senders { return &senders{list: map[senderKey]*sender{}} }

// sender is one. Its mutex is held while a message of it is counted, so that a message that
// comes twice at the same time is counted once.
type sender struct {
	mu sync.Mutex
	// taken is the highest sequence that was counted here, group what it is committed with.
	taken uint64
	group *commitGroup

	used time.Time // guarded by senders.mu
}

// of returns a sender; nil if there are too many.
func (s *senders) of(key senderKey, now time.Time) *sender {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.list[key]
	if one == nil {
		if len(s.list) >= maxSenders && now.Sub(s.looked) >= lookForIdle {
			s.looked = now
			s.forget(now)
		}
		if len(s.list) >= maxSenders {
			return nil
		}
		one = &sender{}
		s.list[key] = one
	}
	one.used = now
	return one
}

// forget drops those that were silent for a while. They are not in use: a call takes seconds.
func (s *senders) forget(now time.Time) {
	for key, one := range s.list {
		if now.Sub(one.used) > senderIdle {
			delete(s.list, key)
		}
	}
}

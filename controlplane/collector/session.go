package collector

import (
	"context"
	"sync"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// session holds the answers that a stream has to send. Acknowledgements are conflated: the
// highest of a sender says all.
type session struct {
	// news is signalled when there is something to send, or settled may have changed.
	news chan struct{}

	mu       sync.Mutex
	acks     map[senderID]*telemetryv1.Sender
	refusals []*telemetryv1.PushResponse
	expected int           // batches that wait for their commit
	taken    chan struct{} // closed and replaced when answers were taken
}

// maxRefusals is how many refusals wait to be sent before a stream is not read any more.
const maxRefusals = 64

func newSession() *session {
	return &session{news: make(chan struct{}, 1), acks: make(map[senderID]*telemetryv1.Sender), taken: make(chan struct{})}
}

// room waits until the other side has taken enough of its refusals.
func (s *session) room(ctx context.Context) error {
	for {
		s.mu.Lock()
		full, taken := len(s.refusals) >= maxRefusals, s.taken
		s.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-taken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected++
}

func (s *session) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected--
	s.wake()
}

// settled tells whether everything that came was answered.
func (s *session) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expected == 0 && len(s.acks)+len(s.refusals) == 0
}

// acknowledge answers a batch.
func (s *session) acknowledge(p *pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake()
	if p.refusal != "" {
		s.refusals = append(s.refusals, &telemetryv1.PushResponse{Acknowledged: p.batch.GetSender(), Refusal: p.refusal})
		return
	}
	if was := s.acks[p.id]; was == nil || was.GetSequence() < p.sequence {
		s.acks[p.id] = p.batch.GetSender()
	}
}

// take returns what there is to send, refusals first: what follows on one in its sender's order
// is acknowledged after it.
func (s *session) take() []*telemetryv1.PushResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	answers := s.refusals
	for _, ack := range s.acks {
		answers = append(answers, &telemetryv1.PushResponse{Acknowledged: ack})
	}
	s.refusals = nil
	clear(s.acks)
	close(s.taken)
	s.taken = make(chan struct{})
	return answers
}

func (s *session) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

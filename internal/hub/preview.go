package hub

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/preview"
)

const (
	// maxQuestions is how many previews a follower is sent while it has not answered.
	maxQuestions = 4
	// previewPlaces is how many subjects may be told of in all, of all followers and flags:
	// with more, each tells of fewer, down to leastSubjects.
	previewPlaces = 1 << 20
	leastSubjects = 16
)

// previews are the questions that are open.
type previews struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*asked
}

// asked is one question; it is guarded by the mutex of previews.
type asked struct {
	waiting map[*stream]struct{}
	merger  *preview.Merger
	done    chan struct{} // closed when nobody is waited for
}

// Preview asks the relays that follow the environment what a change would do, until all have
// answered or ctx ends, and makes one answer of theirs. Those that do not know of previews are
// not asked. The id of p is not looked at.
func (h *Hub) Preview(ctx context.Context, p *syncv1.Preview) *syncv1.PreviewAnswer {
	streams := h.previewers(p.GetEnvironment())
	if len(streams) == 0 {
		return &syncv1.PreviewAnswer{}
	}
	most := min(int(p.GetSubjects()), preview.Subjects)
	q := &asked{
		waiting: make(map[*stream]struct{}, len(streams)), done: make(chan struct{}),
		merger: preview.NewMerger(p.GetFlagKeys(), most),
	}
	for _, s := range streams {
		q.waiting[s] = struct{}{}
	}
	question := proto.CloneOf(p)
	places := previewPlaces / (len(streams) * max(len(p.GetFlagKeys()), 1))
	question.Subjects = uint32(min(most, max(places, leastSubjects)))
	question.Id = h.previews.begin(q)
	m, err := newMessage(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Preview{Preview: question}})
	if err != nil {
		h.o.Logger.Error().Err(err).Msg("a preview cannot be encoded")
		return h.previews.end(question.GetId())
	}
	for _, s := range streams {
		if !s.question(m) { //nolint:contextcheck // the store is asked for all who wait
			h.previews.settle(question.GetId(), s, nil)
		}
	}
	select {
	case <-q.done:
	case <-ctx.Done():
	}
	return h.previews.end(question.GetId())
}

// previewers are the streams of relays that answer previews of the environment.
func (h *Hub) previewers(environment string) []*stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return nil
	}
	return slices.DeleteFunc(h.beats.all(), func(s *stream) bool {
		return !s.follower.previews || !slices.Contains(s.follower.Environments, environment)
	})
}

func (p *previews) begin(q *asked) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[uint64]*asked)
	}
	p.last++
	p.open[p.last] = q
	return p.last
}

// settle takes a follower's answer, or notes that there will be none. One that was not asked
// for, or is late, is ignored.
func (p *previews) settle(id uint64, s *stream, answer *syncv1.PreviewAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.open[id]
	if q == nil {
		return
	}
	if _, there := q.waiting[s]; !there {
		return
	}
	q.merger.Add(answer)
	if delete(q.waiting, s); len(q.waiting) == 0 {
		close(q.done)
	}
}

// end is what was answered in time.
func (p *previews) end(id uint64) *syncv1.PreviewAnswer {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.open[id]
	delete(p.open, id)
	return q.merger.Answer(0)
}

// gone ends the wait for a follower.
func (p *previews) gone(s *stream) {
	p.mu.Lock()
	ids := make([]uint64, 0, len(p.open))
	for id := range p.open {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	for _, id := range ids {
		p.settle(id, s, nil)
	}
}

// question has a preview sent; false: the follower has enough of them.
func (s *stream) question(m *message) bool {
	s.mu.Lock()
	takes := !s.failed && len(s.questions) < maxQuestions
	if takes {
		s.questions = append(s.questions, m)
	}
	s.mu.Unlock()
	if takes {
		s.signal(eventPreview)
	}
	return takes
}

// askPreviews sends what is to be asked.
func (s *stream) askPreviews() error {
	for {
		s.mu.Lock()
		if len(s.questions) == 0 {
			s.mu.Unlock()
			return nil
		}
		m := s.questions[0]
		s.mu.Unlock()
		if err := s.transmit(m); err != nil {
			return err
		}
		s.mu.Lock()
		s.questions = slices.Delete(s.questions, 0, 1)
		s.mu.Unlock()
	}
}

func (s *stream) handlePreviewAnswer(a *syncv1.PreviewAnswer) error {
	if !s.follower.previews {
		return status.Error(codes.InvalidArgument, "an answer to a preview, of a follower that was asked none")
	}
	s.hub.previews.settle(a.GetId(), s, a)
	return nil
}

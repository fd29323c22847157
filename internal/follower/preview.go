package follower

import (
	"context"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

const (
	// maxPreviews is how many questions wait; of more, the upstream gets no answer.
	maxPreviews = 4
	// longestPreview is how long answering one may take, whatever upstream says.
	longestPreview = 2 * time.Second
)

// Previewer tells what a change would do to the subjects that were answered lately. It is
// called by one goroutine at a time, and has answered when ctx ends. The answer's id is not
// looked at.
type Previewer interface {
	Preview(ctx context.Context, p *syncv1.Preview) *syncv1.PreviewAnswer
}

// previews are the questions on one stream; nil: they are not answered.
type previews struct {
	by        Previewer
	questions chan question
	answers   chan *syncv1.PreviewAnswer
}

// question is a preview, and until when it is to be answered.
type question struct {
	*syncv1.Preview
	until time.Time
}

func newPreviews(by Previewer) *previews {
	if by == nil {
		return nil
	}
	return &previews{by: by, questions: make(chan question, maxPreviews), answers: make(chan *syncv1.PreviewAnswer)}
}

// answered is where the answers come.
func (p *previews) answered() <-chan *syncv1.PreviewAnswer {
	if p == nil {
		return nil
	}
	return p.answers
}

// ask takes a question, for the receiving goroutine.
func (p *previews) ask(asked *syncv1.Preview) {
	if p == nil {
		return
	}
	timeout := min(max(asked.GetTimeout().AsDuration(), 0), longestPreview)
	select {
	case p.questions <- question{asked, time.Now().Add(timeout)}:
	default:
	}
}

// run answers until ctx ends.
func (p *previews) run(ctx context.Context) {
	for {
		select {
		case q := <-p.questions:
			answer := p.answer(ctx, q)
			select {
			case p.answers <- answer:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (p *previews) answer(ctx context.Context, q question) *syncv1.PreviewAnswer {
	ctx, cancel := context.WithDeadline(ctx, q.until)
	defer cancel()
	answer := p.by.Preview(ctx, q.Preview)
	answer.Id = q.GetId()
	return answer
}

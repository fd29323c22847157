package relay

import (
	"context"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

// turns is an exchanger that a test takes step by step.
type turns struct {
	reads   chan error // what read returns
	answers chan func()
	given   int
}

func (x *turns) read() error { return <-x.reads }

func (x *turns) answer() error {
	(<-x.answers)()
	x.given++
	return nil
}

// answering runs a stream; what it ends with, error or panic, comes from the channel.
func answering(s *evaluationService, x exchanger) <-chan any {
	ended := make(chan any, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				ended <- p
			}
		}()
		ended <- s.answerStream(context.Background(), x, &credential{})
	}()
	return ended
}

// What was read when the relay drains is answered; nothing is answered after that.
func TestStreamDrains(t *testing.T) {
	t.Parallel()
	s := service(newPublisher(t, production))
	x := &turns{reads: make(chan error), answers: make(chan func())}
	ended := answering(s, x)
	x.reads <- nil
	x.answers <- func() {
		s.drain()
		select {
		case err := <-ended:
			t.Errorf("the stream ended with %v, a request unanswered", err)
		default:
		}
	}
	err, _ := (<-ended).(error)
	requireStatus(t, err, codes.Unavailable, "shutting down")
	if x.given != 1 {
		t.Errorf("%d answers, want 1", x.given)
	}
	x.reads <- nil // one that came too late: it is not answered, or this would block
	if x.given != 1 {
		t.Errorf("%d answers, want 1", x.given)
	}
}

// The caller ends the stream; what breaks it is handed on.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	s := service(newPublisher(t, production))
	for read, want := range map[error]any{io.EOF: nil, io.ErrUnexpectedEOF: io.ErrUnexpectedEOF} {
		x := &turns{reads: make(chan error, 1)}
		x.reads <- read
		if got := <-answering(s, x); got != want {
			t.Errorf("%v: the stream ends with %v, want %v", read, got, want)
		}
	}
}

// A panic of an evaluation reaches the handler's goroutine, where it is recovered, with
// the place where it happened.
func TestStreamPanics(t *testing.T) {
	t.Parallel()
	s := service(newPublisher(t, production))
	x := &turns{reads: make(chan error, 1), answers: make(chan func(), 1)}
	x.reads <- nil
	x.answers <- func() { panic("evaluated") }
	p, ok := (<-answering(s, x)).(panicked)
	if !ok || p.value != "evaluated" || !strings.Contains(p.Error(), "stream_test.go") {
		t.Errorf("got %v", p)
	}
}

// Package linear checks that writes to flags are linearizable: that what each caller was
// told fits one order of all calls, in which every call has its effect at one moment
// between its beginning and its end. A call whose outcome is unknown may have happened at
// any time since it began, or not at all.
package linear

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

var (
	// ErrNotLinearizable says that there is no such order.
	ErrNotLinearizable = errors.New("linear: the answers fit no order of the calls")
	// ErrUndecided says that the search took too long: the history of a flag is too long,
	// or has too many unknown outcomes.
	ErrUndecided = errors.New("linear: not decided in time")
)

// History is what callers asked and were told. Safe for concurrent use.
type History struct {
	began time.Time

	mu    sync.Mutex
	calls []porcupine.Operation
}

// NewHistory returns an empty history.
func NewHistory() *History { return &History{began: time.Now()} }

// forever is later than any end.
const forever = int64(1<<63 - 1)

// Call notes that a client begins a call. What it returns is called with the answer; if it
// never is, the outcome is unknown. Attempts of one request id are one call.
func (h *History) Call(client int, c Call) func(Answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.calls)
	h.calls = append(h.calls, porcupine.Operation{
		ClientId: client, Input: c, Call: h.now(), Output: Answer{Outcome: Unknown}, Return: forever,
	})
	return func(a Answer) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.calls[n].Output = a
		if a.Outcome != Unknown {
			h.calls[n].Return = h.now()
		}
	}
}

func (h *History) now() int64 { return int64(time.Since(h.began)) }

// Len is the number of calls.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.calls)
}

// Check checks the history, each flag for itself. On ErrNotLinearizable the file shows
// it, as a page for a browser.
func (h *History) Check(timeout time.Duration, file string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var calls []porcupine.Operation
	for _, c := range h.calls {
		if c.Input.(Call).Op != Get || c.Output.(Answer).Outcome != Unknown {
			calls = append(calls, c)
		}
	}
	if len(calls) == 0 {
		return errors.New("linear: there is no call to check")
	}
	result, info := porcupine.CheckOperationsVerbose(model, calls, timeout)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%w: %d calls within %s", ErrUndecided, len(calls), timeout)
	}
	return errors.Join(fmt.Errorf("%w: see %s", ErrNotLinearizable, file), draw(info, file))
}

func draw(info porcupine.LinearizationInfo, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(porcupine.Visualize(model, info, f), f.Close())
}

package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// timeline prints what happens, as it happens.
type timeline struct {
	out   io.Writer
	start time.Time

	mu   sync.Mutex
	last map[string]shown
}

// shown is what was printed last of a rollout.
type shown struct {
	weight uint32
	state  rolloutv1.State
	at     time.Time
}

func newTimeline(out io.Writer) *timeline {
	return &timeline{out: out, start: time.Now(), last: make(map[string]shown)}
}

// every is how often it is told why nothing happens.
const every = 5 * time.Second

// tell prints a line.
func (t *timeline) tell(flag, format string, args ...any) {
	fmt.Fprintf(t.out, "%s  %-13s %s\n", clock(time.Since(t.start)), flag, fmt.Sprintf(format, args...))
}

// show prints what is new of a rollout.
func (t *timeline) show(flag string, m *controlv1.WatchRolloutResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	status := m.GetRollout().GetRollout().GetStatus()
	was, now := t.last[flag], time.Now()
	headline := m.GetAssessment().GetHeadline()
	switch {
	case status.GetState() != was.state && was.state != 0:
		t.tell(flag, "%s %s", strings.TrimPrefix(status.GetState().String(), "STATE_"), status.GetHeadline())
	case status.GetWeight() != was.weight:
		t.tell(flag, "%s  %s", bar(status.GetWeight()), status.GetHeadline())
	case now.Sub(was.at) >= every && headline != "":
		t.tell(flag, "%s  %s", bar(status.GetWeight()), headline)
	default:
		return
	}
	t.last[flag] = shown{status.GetWeight(), status.GetState(), now}
}

// bar is a share, for people who would rather look than read.
func bar(weight uint32) string {
	const width = 20
	n := int(weight) * width / 10_000
	if n == 0 && weight > 0 {
		n = 1
	}
	return fmt.Sprintf("[%s%s] %5.4g%%", strings.Repeat("#", n), strings.Repeat(".", width-n), float64(weight)/100)
}

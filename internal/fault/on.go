//go:build faults

package fault

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Enabled tells whether the binary was built to break.
const Enabled = true

var (
	now     plan
	started = time.Now()
)

// init reads the variable. A process that is told nonsense would run without the fault,
// and its test would prove nothing: it does not start.
func init() {
	p, err := parse(os.Getenv(Variable))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Variable, err)
		os.Exit(2)
	}
	now = p
}

// plan is what the variable says.
type plan struct {
	points map[string]*action
	bugs   []string
	offset time.Duration
	after  time.Duration
}

type action struct {
	kill  int64 // at which time; 0: not
	pause time.Duration
	hits  atomic.Int64
}

func parse(spec string) (plan, error) {
	p := plan{points: make(map[string]*action)}
	if spec == "" {
		return p, nil
	}
	for part := range strings.SplitSeq(spec, ",") {
		name, value, _ := strings.Cut(part, "=")
		if err := p.add(name, value); err != nil {
			return p, fmt.Errorf("%q: %w", part, err)
		}
	}
	return p, nil
}

func (p *plan) add(name, value string) (err error) {
	verb, argument, _ := strings.Cut(value, ":")
	switch {
	case name == "plant":
		if !slices.Contains(Bugs, value) {
			return fmt.Errorf("no such bug: want one of %q", Bugs)
		}
		p.bugs = append(p.bugs, value)
		return nil
	case name == "clock":
		if p.offset, err = time.ParseDuration(verb); err == nil && argument != "" {
			p.after, err = time.ParseDuration(argument)
		}
		return err
	case !known(name):
		return fmt.Errorf("no such point: want one of %q", Points())
	}
	a := &action{}
	switch verb {
	case "kill":
		if a.kill, err = strconv.ParseInt(argument, 10, 64); err == nil && a.kill < 1 {
			err = fmt.Errorf("at time %d: want 1 or more", a.kill)
		}
	case "pause":
		a.pause, err = time.ParseDuration(argument)
	default:
		err = errors.New("want kill:N or pause:DURATION")
	}
	p.points[name] = a
	return err
}

func known(point string) bool { return slices.Contains(Points(), point) }

// Point is passed where the process may have to end, or wait.
func Point(name string) {
	if !known(name) {
		panic("fault: no such point: " + name) // a mistake in the code that is built to be tested
	}
	a := now.points[name]
	if a == nil {
		return
	}
	if a.hits.Add(1) == a.kill {
		kill()
	}
	time.Sleep(a.pause)
}

// Planted tells whether the process is to have a bug.
func Planted(bug string) bool { return slices.Contains(now.bugs, bug) }

// Now is the time by a wall clock that may be off, and that may be set while the process
// runs: the monotonic time does not go with it.
func Now() time.Time {
	t := time.Now().Round(0)
	if now.offset != 0 && time.Since(started) >= now.after {
		t = t.Add(now.offset)
	}
	return t
}

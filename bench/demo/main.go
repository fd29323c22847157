// Command demo shows two rollouts at work: one whose treatment is good, which goes to 100% by
// itself, and one whose treatment breaks at 5%, which is shut by itself.
//
//	go run ./bench/demo [-rate 700] [-limit 3m]
//
// Everything is real: a control server, two relays, a shop that asks them through the SDK and
// reports what happened, and users who browse it over HTTP. It ends when both rollouts are
// over, and fails if they did not end as they should, or not in time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/bench/testbed"
	"github.com/tidegate/tidegate/internal/shipped"
)

func main() {
	rate := flag.Int("rate", 700, "page views a second, of each of the two features")
	limit := flag.Duration("limit", 3*time.Minute, "how long it may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *rate, *limit)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, rate int, limit time.Duration) error {
	dir, err := os.MkdirTemp("", "tidegate-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(out, "building")
	if err := shipped.Build(ctx, ".", dir, ""); err != nil {
		return err
	}
	s, err := open(ctx, dir)
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Fprintf(out, "a control server on %s, relays on %s and %s, a shop on %s and %s\n\n",
		s.server.Addr, s.relays[0].Addr, s.relays[1].Addr, s.shops[0].addr, s.shops[1].addr)

	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	browse := s.browse(ctx, rate)
	t := newTimeline(out)
	ends, err := s.rollOut(ctx, t)
	cancel()
	browse.Wait()
	if err != nil {
		return err
	}
	s.summary(out)
	return s.verify(ends)
}

// features are what is rolled out, by flag: what the treatment does, and how it shall end.
var features = map[string]struct {
	what string
	ends rolloutv1.State
}{
	checkout: {"the new checkout, which is as good as the old one", rolloutv1.State_STATE_COMPLETED},
	search:   {"the new search, whose cache is too small for 5% of the users", rolloutv1.State_STATE_ROLLED_BACK},
}

// rollOut starts both rollouts and follows them to their ends.
func (s *scene) rollOut(ctx context.Context, t *timeline) (map[string]rolloutv1.State, error) {
	type end struct {
		flag  string
		state rolloutv1.State
		err   error
	}
	done := make(chan end, len(features))
	for _, key := range []string{checkout, search} {
		t.tell(key, "starts: %s", features[key].what)
		if _, err := s.server.Rollouts.StartRollout(ctx, &controlv1.StartRolloutRequest{
			Environment: testbed.Environment, Rollout: rolloutOf(key), Reason: "demonstration",
		}); err != nil {
			return nil, fmt.Errorf("starting the rollout of %s: %w", key, err)
		}
		go func() {
			state, err := s.follow(ctx, key, t)
			done <- end{key, state, err}
		}()
	}
	ends := make(map[string]rolloutv1.State)
	var failed error
	for range features {
		e := <-done
		ends[e.flag] = e.state
		failed = errors.Join(failed, e.err)
	}
	return ends, failed
}

// verify tells whether everything ended as it should.
func (s *scene) verify(ends map[string]rolloutv1.State) error {
	var wrong []error
	for key, f := range features {
		if ends[key] != f.ends {
			wrong = append(wrong, fmt.Errorf("%s ended as %v, want %v", key, ends[key], f.ends))
		}
	}
	return errors.Join(wrong...)
}

// summary tells how fast it was, and lets the control plane explain itself.
func (s *scene) summary(out io.Writer) {
	broke, last, failures, treated := s.harm.figures()
	fmt.Fprintf(out, "\nThe new search first failed at %s; the last user to get it did so %s later. %d users got it meanwhile, %d of them an error page.\n\n",
		s.harm.clock(broke), last.Sub(broke).Round(10*time.Millisecond), treated, failures)
	explain := exec.Command(filepath.Join(s.dir, "tidegate"), "rollout", "explain", rolloutKey(search), //nolint:gosec,noctx // ours; it ends by itself
		"-e", testbed.Environment, "--server", s.server.Addr)
	explain.Stdout, explain.Stderr = out, os.Stderr
	fmt.Fprintf(out, "$ tidegate rollout explain %s\n", rolloutKey(search))
	if err := explain.Run(); err != nil {
		fmt.Fprintln(out, err)
	}
}

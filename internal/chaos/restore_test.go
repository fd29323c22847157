//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/streamlog"
)

// restored is a scenario whose store was taken back to a backup, of the same cluster and
// the same epoch, while a relay has what was written since.
type restored struct {
	*scenario
	srv    *bed.Server
	relay  *relay
	before *snapshot.Snapshot // what the relay had
}

func newRestored(t *testing.T) *restored {
	t.Helper()
	s := newScenario(t)
	data, backup := s.folder("server"), s.folder("backup")
	srv := s.embedded(data)
	r := s.relay(srv.GRPC)
	s.load()
	s.mustWrite("before the backup", s.writers...)
	s.must(srv.Terminate())
	s.must(os.CopyFS(backup, os.DirFS(data)))
	srv.Start()
	s.mustWrite("after the backup", s.writers...)
	s.stopWriting()
	var before *snapshot.Snapshot
	bed.Eventually(s, "the relay has all", func() (err error) {
		before, err = bed.SameState(s.ctx, srv.GRPC, r.GRPC)
		return err
	})
	// What was acknowledged and is not in the backup is lost, which readers would notice.
	s.stop()
	s.clients.Wait()
	s.ctx, s.stop = context.WithTimeout(t.Context(), bed.Patience)
	t.Cleanup(s.stop)
	srv.Kill()
	s.truth.read(s.ctx)
	s.must(os.RemoveAll(data))
	s.must(os.CopyFS(data, os.DirFS(backup)))
	s.truth.begin(s.truth.life, s.truth.head(s.ctx))
	srv.Start()
	return &restored{scenario: s, srv: srv, relay: r, before: before}
}

// holds demands that the relay still has what it had, and answers from it.
func (s *restored) holds() {
	s.Helper()
	now, err := bed.State(s.ctx, s.relay.GRPC)
	s.must(err)
	if now.Cursor() != s.before.Cursor() {
		s.Errorf("the relay went from %s to %s", s.before.Cursor(), now.Cursor())
	}
}

// goOn writes until the relay has what the restored store has, and holds the run to the
// guarantees.
func (s *restored) goOn(when string, agree func(*snapshot.Snapshot) error) {
	s.Helper()
	for _, w := range s.writers {
		s.lost = append(s.lost, w.Keys...)
	}
	s.writers = []*bed.Writer{bed.NewWriter(s.ctx, s, s.srv.GRPC, bed.Prefix+"restored")}
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	s.writing.Go(func() { s.writers[0].Run(ctx) })
	bed.Eventually(s, "relay and server have the same "+when, func() error {
		now, err := bed.SameState(s.ctx, s.srv.GRPC, s.relay.GRPC)
		if err == nil {
			err = agree(now)
		}
		if err == nil {
			stop() // states that change are hard to compare
		}
		return err
	})
	s.writing.Wait()
	settled := streamlog.Now()
	bed.Eventually(s, "the last write is served", func() error {
		return s.writers[0].Served(s.ctx, s.relay.readers.Evaluation)
	})
	s.check(settled)
}

// TestRestoredStoreAlarms: as long as the store is behind the relay, the relay keeps what
// it has, and the server raises an alarm that says what to do. Once that is done, the relay
// has what was restored, at a lower revision, and then what is written since; and the
// alarm is over.
func TestRestoredStoreAlarms(t *testing.T) {
	t.Parallel()
	s := newRestored(t)
	bed.EventuallyWithin(t, deadAfter, "the server raises an alarm", func() error {
		body, err := s.srv.Get("/readyz")
		if !strings.Contains(string(body), "tidegate epoch begin") {
			return fmt.Errorf("readyz: %s, %w", body, err)
		}
		if s.metric(s.srv.Process, "tidegate_store_behind_followers", "") == 0 {
			return errors.New("the metric is silent")
		}
		return nil
	})
	s.holds()
	s.relay.Kill()
	s.relay.Start()
	s.holds()
	out, err := exec.CommandContext(s.ctx, filepath.Join(bin, "tidegate"), "epoch", "begin", "--yes",
		"--server", s.srv.GRPC, "--reason", "restored").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	bed.Eventually(t, "the alarm is over", func() error {
		if n := s.metric(s.srv.Process, "tidegate_store_behind_followers", ""); n != 0 {
			return fmt.Errorf("%v followers are ahead", n)
		}
		return nil
	})
	s.goOn("in the new epoch", func(now *snapshot.Snapshot) error {
		if was := s.before.Cursor(); now.Cursor().Epoch.Counter != was.Epoch.Counter+1 {
			return fmt.Errorf("at %s after %s", now.Cursor(), was)
		}
		return nil
	})
}

// TestRestoredStoreOutgrowsRelay: once the store's other history is longer than the one
// that the relay has, the relay is sent everything, and never a change to a state that is
// not the one it has.
func TestRestoredStoreOutgrowsRelay(t *testing.T) {
	t.Parallel()
	s := newRestored(t)
	s.holds()
	fulls := s.metric(s.relay.Process, "tidegate_follower_updates_total", `mode="full"`)
	s.goOn("again", func(now *snapshot.Snapshot) error {
		if now.Cursor().Revision <= s.before.Cursor().Revision {
			return fmt.Errorf("at revision %d, it was %d", now.Cursor().Revision, s.before.Cursor().Revision)
		}
		if n := s.metric(s.relay.Process, "tidegate_follower_updates_total", `mode="full"`); n != fulls+1 {
			t.Errorf("everything was sent %v times, want once", n-fulls)
		}
		return nil
	})
}

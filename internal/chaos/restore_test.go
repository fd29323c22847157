//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/snapshot"
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
	srv := s.server("--data-dir", data)
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
	s.must(os.RemoveAll(data))
	s.must(os.CopyFS(data, os.DirFS(backup)))
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

// TestRestoredStoreAlarms: as long as the store is behind the relay, the relay keeps what
// it has, and the server raises an alarm that says what to do.
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
}

// TestRestoredStoreOutgrowsRelay: once the store's other history is longer than the one
// that the relay has, the relay is sent everything, and never a change to a state that is
// not the one it has.
func TestRestoredStoreOutgrowsRelay(t *testing.T) {
	t.Parallel()
	s := newRestored(t)
	s.holds()
	fulls := s.metric(s.relay.Process, "tidegate_follower_updates_total", `mode="full"`)
	w := bed.NewWriter(s.ctx, s, s.srv.GRPC, bed.Prefix+"restored")
	ctx, stop := context.WithCancel(s.ctx)
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	bed.Eventually(t, "relay and server have the same again", func() error {
		now, err := bed.SameState(s.ctx, s.srv.GRPC, s.relay.GRPC)
		if err == nil && now.Cursor().Revision <= s.before.Cursor().Revision {
			err = fmt.Errorf("at revision %d, it was %d", now.Cursor().Revision, s.before.Cursor().Revision)
		}
		if err == nil {
			stop() // states that change are hard to compare
		}
		return err
	})
	<-done
	if n := s.metric(s.relay.Process, "tidegate_follower_updates_total", `mode="full"`); n != fulls+1 {
		t.Errorf("everything was sent %v times, want once", n-fulls)
	}
}

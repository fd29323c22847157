//go:build unix

package chaos

import (
	"errors"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestRelayDiskFull fills the disk that a relay keeps its state on: it serves everything
// that comes, says that it is not on disk, writes it once there is space, and is killed
// and started without a server to show that it has.
func TestRelayDiskFull(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.embedded(s.folder("server"))
	disk := s.smallDisk("state", 4)
	r := &relay{}
	r.Relay = bed.NewRelay(s, bin, r.front(s, srv.GRPC), disk.data(), s.logged("relay")...)
	r.Start()
	s.relays = append(s.relays, r)
	s.load()
	s.mustServe(s.relays, func() {
		disk.fill()
		stop := s.bulk(srv, 20*time.Millisecond) // has the log rewritten, too
		bed.Eventually(s, "the relay says that it cannot write", func() error {
			if s.metric(r.Process, "tidegate_relay_state_write_errors_total", "") == 0 {
				return errors.New("it does not")
			}
			return nil
		})
		stop()
		s.mustWrite("while the disk is full", s.writers...)
		s.mustBeFresh(r)
		disk.free()
		bed.Eventually(s, "the state is on disk again", func() error {
			if n := s.metric(r.Process, "tidegate_relay_state_behind_environments", ""); n != 0 {
				return fmt.Errorf("%v environments are not", n)
			}
			return nil
		})
	})
	// It answers from its disk, not older than what it has shown.
	srv.Kill()
	r.Kill()
	r.Start()
	r.readers.MustGoOn("from the disk that was full", r.readers.Calls, r.readers.Stream)
	srv.Start()
	s.converge()
}

// TestServerDiskFull fills the disk under a server's own etcd: relays serve; whether the
// server lives or ends, it acknowledges nothing that is lost, and it goes on once there is
// space and it is started.
func TestServerDiskFull(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	disk := s.smallDisk("server", 160)
	srv := s.embedded(disk.data())
	s.relay(srv.GRPC)
	s.tolerate = isFull
	s.load()
	s.mustServe(s.relays, func() {
		s.mustWrite("at first", s.writers...)
		disk.fill()
		stop := s.bulk(srv, 20*time.Millisecond)
		bed.Eventually(s, "the server refuses to write, or ends", func() error {
			if !srv.Alive() {
				return nil
			}
			n := s.writers[0].Acknowledged()
			s.relays[0].readers.MustGoOn("meanwhile", s.relays[0].readers.Calls)
			if s.writers[0].Acknowledged() != n {
				return errors.New("it writes")
			}
			return nil
		})
		stop()
		t.Logf("on a full disk the server lives: %v", srv.Alive())
		disk.free()
		srv.Kill()
		srv.Start()
	})
	s.mustWrite("after", s.writers...)
	s.converge()
}

// isFull tells errors that say that there is no space.
func isFull(err error) bool { return status.Code(err) == codes.ResourceExhausted }

// TestStoreFull writes until etcd's quota is reached: what is there is served, what cannot
// be written is refused and not lost by half, and writes go on once an operator has made
// space.
func TestStoreFull(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	etcd := s.etcd(etcdtest.Options{Quota: 12 << 20})
	client := s.client(etcd)
	srv := s.server("--etcd-endpoints", etcd.Endpoints()[0])
	r := s.relay(srv.GRPC)
	s.tolerate = isFull
	s.load()
	s.mustServe(s.relays, func() {
		stop := s.bulk(srv, 20*time.Millisecond)
		bed.Eventually(s, "the store is full", func() error {
			alarms, err := client.AlarmList(s.ctx)
			if err == nil && len(alarms.Alarms) == 0 {
				err = errors.New("there is no alarm")
			}
			return err
		})
		stop()
		s.mustBeFresh(r)
		s.must(s.compact(s.ctx, client))
		_, err := client.Defragment(s.ctx, etcd.Endpoints()[0])
		s.must(err)
		_, err = client.AlarmDisarm(s.ctx, &clientv3.AlarmMember{}) // all of them
		s.must(err)
	})
	s.mustWrite("after", s.writers...)
	s.converge()
}

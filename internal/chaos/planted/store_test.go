//go:build faults && unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/streamcheck"
	"github.com/tidegate/tidegate/relay"
	"github.com/tidegate/tidegate/server"
)

// TestServerStart starts servers on a store that has flags, with a relay that has them.
func TestServerStart(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	r := s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 5, 1000)
	s.synced(srv, r)
	srv.stop()
	s.server("server", srv.addr, s.store)
	s.check()
}

// TestCompactedWhileCut deletes flags while a server is cut from the store, and compacts.
func TestCompactedWhileCut(t *testing.T) {
	s := newSite(t)
	way := newGate(s.store)
	srv := s.server("server", anywhere, way)
	r := s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 6, 100)
	s.synced(srv, r)
	way.set(true)
	var last int64
	for i := range 3 {
		s.put(fmt.Sprintf("flag-%d", 2*i+s.random.IntN(2)), nil)
		last = s.put("flag-new", s.encoded(s.flag("flag-new", 100)))
	}
	s.compact(last)
	way.set(false)
	s.check(streamcheck.Reliable)
}

// TestRestoredBackup restores a backup, and lets the store outgrow a relay before it comes
// back.
func TestRestoredBackup(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	r := s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 3, 100)
	at := s.put("flag-0", s.encoded(s.flag("flag-0", 100)))
	s.synced(srv, r)
	backup := s.store.Backup()
	for range 3 {
		s.apply(srv, 3, 100)
	}
	s.synced(srv, r)
	srv.stop()
	s.restore(backup, at)
	for range 20 + s.random.IntN(20) {
		s.put("flag-1", s.encoded(s.flag("flag-1", 100)))
	}
	srv = s.server("server", srv.addr, s.store)
	s.apply(srv, 1, 100)
	s.check(streamcheck.Reliable)
}

// TestLaggingServer takes away the server that a relay follows; the other one lags.
func TestLaggingServer(t *testing.T) {
	s := newSite(t)
	way := newGate(s.store)
	leading, lagging := s.server("leading", anywhere, s.store), s.server("lagging", anywhere, way)
	r := s.relay("relay", anywhere, leading.addr, lagging.addr)
	s.apply(leading, 3, 100)
	s.synced(leading, lagging, r)
	way.set(true)
	for range 3 {
		s.apply(leading, 3, 100)
	}
	s.synced(leading, r)
	leading.stop()
	time.Sleep(3500 * time.Millisecond) // the relay tries the other one, which lets it wait 2 s
	way.set(false)
	s.server("leading", leading.addr, s.store)
	s.check(streamcheck.Reliable)
}

// TestRestarts stops a relay and starts it again, under changes.
func TestRestarts(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	r := s.relay("relay", anywhere, srv.addr)
	for range 3 {
		s.apply(srv, 3, 100)
		s.synced(srv, r)
		s.apply(srv, 3, 100)
		r.stop()
		r = s.relay("relay", anywhere, srv.addr)
	}
	s.apply(srv, 3, 100)
	s.synced(srv, r)
	// It acknowledges what it has.
	bed.EventuallyWithin(s, patience, "the relay acknowledges", func() error {
		log, err := os.ReadFile(s.log("relay"))
		if err == nil && !bytes.Contains(log, []byte(`"ack"`)) {
			err = errors.New("it has not")
		}
		return err
	})
	s.check(streamcheck.Durable)
}

// TestBitOnDisk flips a bit of a relay's state files while it is down.
func TestBitOnDisk(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	r := s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 3, 20<<10)
	s.synced(srv, r)
	r.stop()
	s.must(filepath.WalkDir(filepath.Join(s.dir, "relay"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) < 30<<10 {
			return err
		}
		data[len(data)/4+s.random.IntN(len(data)/2)] ^= 1
		return os.WriteFile(path, data, 0o600)
	}))
	s.options.Damaged = []string{"relay"}
	s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 1, 100)
	s.check()
}

// TestPoison stores a version of a flag that cannot be used: its last version stays in
// force, and other flags go on changing.
func TestPoison(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	r := s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 3, 100)
	s.synced(srv, r)
	s.put("flag-1", []byte("\xff broken"))
	s.put("flag-2", s.encoded(s.flag("flag-2", 100)))
	s.synced(srv, r)
	e := evaluationv1.NewEvaluationServiceClient(bed.Dial(s, r.addr))
	a, err := e.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{Environment: bed.Environment, FlagKey: "flag-1"})
	if err != nil || a.GetErrorCode() != "" || !a.GetBoolValue() {
		t.Errorf("Last-known-good: the flag whose new version is broken is answered %v, %v", a, err)
	}
	s.check(streamcheck.Reliable)
}

// TestRevokedKey revokes the key of a relay that follows.
func TestRevokedKey(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store, func(o *server.Options) { o.RequireKeys = true })
	s.apply(srv, 3, 100)
	keys := controlv1.NewKeyServiceClient(bed.Dial(s, srv.addr))
	made, err := keys.CreateKey(t.Context(), &controlv1.CreateKeyRequest{
		Name: "relay", Environments: []string{bed.Environment}, Reason: "test", RequestId: uuid.NewString(),
	})
	s.must(err)
	r := s.relayWith(func(o *relay.Options) {
		o.InstanceID, o.Upstreams, o.Key = "relay", []string{srv.addr}, made.GetSecret()
	})
	e := evaluationv1.NewEvaluationServiceClient(bed.Dial(s, r.addr))
	answers := func() error {
		_, err := e.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{Environment: bed.Environment, FlagKey: "flag-1"})
		return err
	}
	bed.EventuallyWithin(s, patience, "the relay answers", answers)
	_, err = keys.RevokeKey(t.Context(), &controlv1.RevokeKeyRequest{KeyId: made.GetKey().GetKey().GetId(), Reason: "test", RequestId: uuid.NewString()})
	s.must(err)
	// One second is promised; slow machines get more. A heartbeat comes within 5 s.
	bed.EventuallyWithin(s, patience, "Revoked: the relay has the state no longer", func() error {
		if answers() == nil {
			return errors.New("it still answers")
		}
		return nil
	})
}

package server

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// follow opens a stream of production, from a cursor that may be nil.
func (r *running) follow(secret string, from *syncv1.Cursor) func() (*syncv1.StreamResponse, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	r.t.Cleanup(cancel)
	if secret != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
	}
	stream, err := syncv1.NewSyncServiceClient(r.conn).Stream(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	// What this fails with, Recv tells.
	_ = stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
		Protocol: 1, InstanceId: "f", BootId: "b", Path: []string{"f"},
		Scopes: []*syncv1.Scope{{Environment: "production", Cursor: from}},
	}}})
	return stream.Recv
}

// firstState takes messages up to the first Update's beginning.
func firstState(t *testing.T, recv func() (*syncv1.StreamResponse, error)) *syncv1.Begin {
	t.Helper()
	for {
		m, err := recv()
		if err != nil {
			t.Fatal(err)
		}
		if g := m.GetGoodbye(); g != nil {
			t.Fatalf("%v", g)
		}
		if b := m.GetUpdate().GetBegin(); b != nil {
			return b
		}
	}
}

func goodbye(t *testing.T, recv func() (*syncv1.StreamResponse, error)) *syncv1.Goodbye {
	t.Helper()
	for {
		m, err := recv()
		if err != nil {
			t.Fatal(err)
		}
		if g := m.GetGoodbye(); g != nil {
			return g
		}
	}
}

// TestKeys: with keys required nobody follows without one; what is done to a key holds for
// streams that live, within a second of its commit.
func TestKeys(t *testing.T) {
	r := start(t, Options{RequireKeys: true})
	keys := controlv1.NewKeyServiceClient(r.conn)
	if _, err := r.follow("", nil)(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "a key is required") {
		t.Errorf("without a key: %v", err)
	}
	created, err := keys.CreateKey(as(t), &controlv1.CreateKeyRequest{Name: "relays", Environments: []string{"staging", "production"}, Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	id := created.GetKey().GetKey().GetId()
	eventually(t, "the key is streamed", func() bool {
		_, err := r.follow(created.GetSecret(), nil)()
		return err == nil
	})
	stream := r.follow(created.GetSecret(), nil)
	state := firstState(t, stream).GetTarget()

	updated, err := keys.UpdateKey(as(t), &controlv1.UpdateKeyRequest{
		KeyId: id, Name: "relays", Environments: []string{"staging"}, BaseRevision: created.GetKey().GetRevision(), Reason: "less",
	})
	if err != nil {
		t.Fatal(err)
	}
	committed := time.Now()
	g := goodbye(t, stream)
	if took := time.Since(committed); g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !slices.Equal(g.GetEnvironments(), []string{"production"}) || took > time.Second {
		t.Errorf("after %v: %v", took, g)
	}
	if g := goodbye(t, r.follow(created.GetSecret(), state)); g.GetCode() != syncv1.Goodbye_CODE_REVOKED {
		t.Errorf("with the state that it had: %v", g)
	}
	if _, err := r.follow(created.GetSecret(), nil)(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("without it: %v", err)
	}
	if _, err := keys.RevokeKey(as(t), &controlv1.RevokeKeyRequest{KeyId: id, Reason: "end"}); err != nil {
		t.Fatal(err)
	}
	history, err := keys.ListKeyHistory(t.Context(), &controlv1.ListKeyHistoryRequest{Environment: "staging", KeyId: id})
	if err != nil || len(history.GetEntries()) != 3 || history.GetEntries()[0].GetActor() != "ada" {
		t.Errorf("history: %v, %v", history, err)
	}
	if code, body := r.post("/tidegate.control.v1.KeyService/ListKeys", `{}`); code != 200 || strings.Contains(body, id) {
		t.Errorf("over HTTP: %d %s", code, body)
	}
	if updated.GetKey().GetRevision() <= created.GetKey().GetRevision() {
		t.Errorf("%v", updated)
	}
}

// TestFollowerOfAnotherStore: who has the state of another store is refused by one whose epoch nobody
// began, and named where people look, until one is begun. The server is ready all the while.
func TestFollowerOfAnotherStore(t *testing.T) {
	s := start(t, Options{})
	s.create("kept")
	mine := &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 3, Random: 7}, Revision: 5, Digest: make([]byte, 16)}
	if g := goodbye(t, s.follow("", mine)); g.GetCode() != syncv1.Goodbye_CODE_BEHIND {
		t.Errorf("%v", g)
	}
	code, body := s.get("/readyz")
	for _, want := range []string{"of another store", `\"f\" has epoch 3-0000000000000007`, `\"production\"`, "tidegate epoch begin", "empty its state directory"} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, without %s: %s", code, want, body)
		}
	}
	epochs := controlv1.NewEpochServiceClient(s.conn)
	before, err := epochs.GetEpoch(t.Context(), &controlv1.GetEpochRequest{})
	if err != nil {
		t.Fatal(err)
	}
	refused := before.GetRefusedFollowers()
	if len(refused) != 1 || before.GetRefusedCount() != 1 || refused[0].GetInstanceId() != "f" ||
		refused[0].GetEnvironment() != "production" || refused[0].GetEpoch().GetRandom() != 7 {
		t.Errorf("refused: %v", before)
	}
	flags := make(map[string]uint32)
	for _, c := range before.GetContents() {
		flags[c.GetEnvironment()] = c.GetFlags()
	}
	if len(flags) != 3 || flags["production"] != 1 || flags["dev"] != 0 {
		t.Errorf("it has %v", flags)
	}
	if _, err := epochs.BeginEpoch(as(t), &controlv1.BeginEpochRequest{Expected: before.GetEpoch(), Reason: "a new start"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is told any more", func() bool {
		now, err := epochs.GetEpoch(t.Context(), &controlv1.GetEpochRequest{})
		_, body := s.get("/readyz")
		return err == nil && now.GetRefusedCount() == 0 && !strings.Contains(body, "of another store")
	})
}

// TestRestoredStore: a server that starts on a store that was restored from a backup does
// not give its state to who has a newer one, and says what is wrong, until a new epoch
// begins; then it gives it to all.
func TestRestoredStore(t *testing.T) {
	s := memstore.New()
	first := start(t, Options{Store: unclosed{s}})
	first.create("kept")
	backup := s.Backup()
	revision := first.create("lost").GetRevision()
	var newest *syncv1.Cursor
	eventually(t, "the write is streamed", func() bool {
		newest = firstState(t, first.follow("", nil)).GetTarget()
		return newest.GetRevision() >= revision
	})
	first.stop()
	s.Restore(backup)

	r := start(t, Options{Store: unclosed{s}})
	t.Cleanup(func() { _ = s.Close() })
	if code, body := r.get("/readyz"); code != 200 || strings.Contains(body, "problems") {
		t.Errorf("before anybody came: %d %s", code, body)
	}
	g := goodbye(t, r.follow("", newest))
	if g.GetCode() != syncv1.Goodbye_CODE_BEHIND || !strings.Contains(g.GetMessage(), "needs a new epoch") {
		t.Errorf("%v", g)
	}
	if code, body := r.get("/readyz"); code != 200 || !strings.Contains(body, "tidegate epoch begin") {
		t.Errorf("%d %s", code, body)
	}
	if _, body := r.get("/metrics"); strings.Contains(body, "tidegate_store_behind_followers 0") || !strings.Contains(body, "tidegate_store_behind_followers ") {
		t.Error("the metric does not tell")
	}
	if begin := firstState(t, r.follow("", nil)); begin.GetTarget().GetRevision() >= newest.GetRevision() {
		t.Errorf("who has nothing gets %v", begin)
	}

	epochs := controlv1.NewEpochServiceClient(r.conn)
	before, err := epochs.GetEpoch(t.Context(), &controlv1.GetEpochRequest{})
	if err != nil || before.GetBehindFollowerRevision() != newest.GetRevision() {
		t.Fatalf("%v, %v", before, err)
	}
	began, err := epochs.BeginEpoch(as(t), &controlv1.BeginEpochRequest{Expected: before.GetEpoch(), Reason: "restored"})
	if err != nil || began.GetEntry().GetActor() != "ada" {
		t.Fatalf("%v, %v", began, err)
	}
	committed := time.Now()
	eventually(t, "who has the newer state is given the restored one", func() bool {
		for recv := r.follow("", newest); ; {
			m, err := recv()
			if err != nil || m.GetGoodbye() != nil {
				return false
			}
			if b := m.GetUpdate().GetBegin(); b != nil {
				return b.GetMode() == syncv1.Begin_MODE_FULL && b.GetTarget().GetEpoch().GetRandom() == began.GetEpoch().GetRandom()
			}
		}
	})
	t.Logf("%v after the epoch began", time.Since(committed))
	if _, body := r.get("/readyz"); strings.Contains(body, "problems") {
		t.Errorf("%s", body)
	}
	_, err = epochs.BeginEpoch(as(t), &controlv1.BeginEpochRequest{Expected: before.GetEpoch(), Reason: "again"})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("%v", err)
	}
}

// unclosed outlives the servers on it.
type unclosed struct{ *memstore.Store }

func (unclosed) Close() error { return nil }

// TestRestoredUnderTheServer: it goes on serving what it had, and says why it ages.
func TestRestoredUnderTheServer(t *testing.T) {
	s := memstore.New()
	r := start(t, Options{Store: s})
	r.create("kept")
	backup := s.Backup()
	revision := r.create("lost").GetRevision()
	stream := r.follow("", nil)
	for at := int64(0); at < revision; {
		m, err := stream()
		if err != nil {
			t.Fatal(err)
		}
		at = max(at, m.GetUpdate().GetCommit().GetCursor().GetRevision())
	}
	s.Restore(backup)
	eventually(t, "it is told", func() bool {
		_, body := r.get("/readyz")
		return strings.Contains(body, "behind what was applied from it") && strings.Contains(body, "tidegate epoch begin")
	})
	epochs := controlv1.NewEpochServiceClient(r.conn)
	now, err := epochs.GetEpoch(t.Context(), &controlv1.GetEpochRequest{})
	if err != nil || now.GetAppliedRevision() <= now.GetRevision() {
		t.Fatalf("%v, %v", now, err)
	}
	if _, err := epochs.BeginEpoch(as(t), &controlv1.BeginEpochRequest{Expected: now.GetEpoch(), Reason: "restored"}); err != nil {
		t.Fatal(err)
	}
	for { // the stream that lives gets it too, and nothing of the old epoch before that went back
		m, err := stream()
		if err != nil {
			t.Fatal(err)
		}
		b := m.GetUpdate().GetBegin()
		if b == nil {
			continue
		}
		if b.GetMode() != syncv1.Begin_MODE_FULL || b.GetTarget().GetEpoch().GetCounter() != 2 {
			t.Errorf("%v", b)
		}
		break
	}
	eventually(t, "all is well", func() bool {
		code, body := r.get("/readyz")
		return code == 200 && !strings.Contains(body, "problems")
	})
}

// TestOutgrownStore: once a restored store has gone beyond what a follower has, nobody can
// tell by the revision; but its state is none of this history, so it gets everything, never a
// difference to what it does not have.
func TestOutgrownStore(t *testing.T) {
	s := memstore.New()
	first := start(t, Options{Store: unclosed{s}})
	first.create("kept")
	backup := s.Backup()
	revision := first.create("lost").GetRevision()
	var forked *syncv1.Cursor
	eventually(t, "the write is streamed", func() bool {
		forked = firstState(t, first.follow("", nil)).GetTarget()
		return forked.GetRevision() >= revision
	})
	first.stop()
	s.Restore(backup)

	r := start(t, Options{Store: unclosed{s}})
	t.Cleanup(func() { _ = s.Close() })
	for _, key := range []string{"a", "b", "c"} {
		revision = r.create(key).GetRevision()
	}
	eventually(t, "the writes are streamed", func() bool {
		return firstState(t, r.follow("", nil)).GetTarget().GetRevision() >= revision
	})
	if begin := firstState(t, r.follow("", forked)); begin.GetMode() != syncv1.Begin_MODE_FULL || begin.GetTarget().GetRevision() <= forked.GetRevision() {
		t.Errorf("from %v: %v", forked, begin)
	}
}

package controlplane

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

func (f *fixture) createKey(name string, environments ...string) *controlv1.CreateKeyResponse {
	f.t.Helper()
	resp, err := f.CreateKey(f.ctx, alice, &controlv1.CreateKeyRequest{Name: name, Environments: environments, Reason: "first"})
	if err != nil {
		f.t.Fatalf("CreateKey(%s): %v", name, err)
	}
	return resp
}

// opened returns the key as each environment's replica has it.
func (f *fixture) opened(id string) map[string]*accessv1.Key {
	f.t.Helper()
	f.caughtUp()
	keys := make(map[string]*accessv1.Key)
	for _, name := range f.replicas.Environments() {
		item, ok := f.replicas.Replica(name).Snapshot().Item(syncv1.Kind_KIND_KEY, id)
		if !ok {
			continue
		}
		key, err := item.AccessKey()
		if err != nil {
			f.t.Fatal(err)
		}
		keys[name] = key
	}
	return keys
}

// all reads everything that the store holds under a prefix.
func (f *fixture) all(prefix string) []store.KV {
	f.t.Helper()
	results, _, err := f.store.Read(f.ctx, store.Prefix(prefix))
	if err != nil {
		f.t.Fatal(err)
	}
	return results[0].KVs
}

func TestCreateKey(t *testing.T) {
	f, _ := newFixture(t)
	expires := timestamppb.New(f.now().Add(time.Hour))
	created, err := f.CreateKey(f.ctx, alice, &controlv1.CreateKeyRequest{
		Name: "eu relays", Environments: []string{staging, production}, ExpiresAt: expires, Reason: "first",
	})
	if err != nil {
		t.Fatal(err)
	}
	key, secret := created.GetKey(), created.GetSecret()
	presented, err := accesskey.Parse(secret)
	if err != nil || presented.ID != key.GetKey().GetId() {
		t.Fatalf("the secret's id is %s (%v), the key's %s", presented.ID, err, key.GetKey().GetId())
	}
	if !slices.Equal(key.GetEnvironments(), []string{production, staging}) || len(key.GetKey().GetSecretHash()) != 0 ||
		!proto.Equal(key.GetKey().GetExpiresAt(), expires) || key.GetKey().GetVersion() != 1 {
		t.Errorf("created %v", key)
	}
	opened := f.opened(presented.ID)
	if len(opened) != 2 || !presented.Matches(opened[production].GetSecretHash()) || !proto.Equal(opened[production], opened[staging]) {
		t.Errorf("the replicas have %v", opened)
	}
	got, err := f.GetKey(f.ctx, &controlv1.GetKeyRequest{KeyId: presented.ID})
	if err != nil || !proto.Equal(got.GetKey(), key) {
		t.Errorf("GetKey: %v, %v; want %v", got, err, key)
	}
	if n := len(created.GetEntries()); n != 2 {
		t.Fatalf("%d audit entries, want one an environment", n)
	}
	for _, e := range created.GetEntries() {
		if e.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_KEY || e.GetKey() != presented.ID || e.GetAction() != controlv1.Action_ACTION_CREATED ||
			e.GetActor() != "alice" || e.GetRevision() != key.GetRevision() || e.GetSequence() != 1 || e.GetAccessKey().GetName() != "eu relays" {
			t.Errorf("audited %v", e)
		}
	}
}

// TestSecretsStayOut: the secret is nowhere in the store, and its hash in nothing but what
// relays get.
func TestSecretsStayOut(t *testing.T) {
	f, _ := newFixture(t)
	created := f.createKey("relays", production, staging)
	hash := sha256.Sum256([]byte(created.GetSecret()))
	id := created.GetKey().GetKey().GetId()
	updated, err := f.UpdateKey(f.ctx, alice, &controlv1.UpdateKeyRequest{
		KeyId: id, Name: "others", Environments: []string{production}, BaseRevision: created.GetKey().GetRevision(), Reason: "less", RequestId: "u",
	})
	if err != nil {
		t.Fatal(err)
	}
	hashes := 0
	for _, kv := range f.all(root) {
		if bytes.Contains(kv.Value, []byte(created.GetSecret()[4+accesskey.IDLength:])) {
			t.Errorf("%s holds the secret", kv.Key)
		}
		if bytes.Contains(kv.Value, hash[:]) {
			hashes++
			if !strings.HasPrefix(kv.Key, stateRoot) {
				t.Errorf("%s holds the hash", kv.Key)
			}
		}
	}
	if hashes != 1 {
		t.Errorf("%d values hold the hash, want that of production", hashes)
	}
	history, err := f.ListKeyHistory(f.ctx, &controlv1.ListKeyHistoryRequest{Environment: production, KeyId: id})
	if err != nil || len(history.GetEntries()) != 2 {
		t.Fatalf("%d entries, %v", len(history.GetEntries()), err)
	}
	list, err := f.ListKeys(f.ctx, &controlv1.ListKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, conflict := f.UpdateKey(f.ctx, alice, &controlv1.UpdateKeyRequest{
		KeyId: id, Name: "third", Environments: []string{production}, BaseRevision: 1, Reason: "late",
	})
	for _, answer := range []proto.Message{updated, history, list, as[*ConflictError](t, conflict).Conflict} {
		data, err := marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, hash[:]) || strings.Contains(fmt.Sprint(answer), "secret_hash") {
			t.Errorf("%T has the hash: %v", answer, answer)
		}
	}
	// A secret that is taken for an id is not repeated: errors are logged.
	for what, err := range map[string]error{
		"get":     second(f.GetKey(f.ctx, &controlv1.GetKeyRequest{KeyId: created.GetSecret()})),
		"revoke":  second(f.RevokeKey(f.ctx, alice, &controlv1.RevokeKeyRequest{KeyId: created.GetSecret(), Reason: "r"})),
		"history": second(f.ListKeyHistory(f.ctx, &controlv1.ListKeyHistoryRequest{Environment: production, KeyId: created.GetSecret()})),
		"update":  second(f.UpdateKey(f.ctx, alice, &controlv1.UpdateKeyRequest{KeyId: created.GetSecret(), Name: "n", Environments: []string{production}, BaseRevision: 1, Reason: "r"})),
	} {
		if mentions(t, as[*InvalidError](t, err), "key_id"); strings.Contains(err.Error(), created.GetSecret()) {
			t.Errorf("%s repeats the secret: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestKeyRequestsAreChecked(t *testing.T) {
	f, _ := newFixture(t)
	past := timestamppb.New(f.now())
	many := make([]string, maxKeyEnvironments+1)
	for i := range many {
		many[i] = fmt.Sprintf("e%d", i)
	}
	for name, tc := range map[string]struct {
		request *controlv1.CreateKeyRequest
		field   string
	}{
		"no name":          {&controlv1.CreateKeyRequest{Environments: []string{production}, Reason: "r"}, "name: is required"},
		"a long name":      {&controlv1.CreateKeyRequest{Name: strings.Repeat("n", 129), Environments: []string{production}, Reason: "r"}, "name: must be at most 128 characters, not 129"},
		"two lines":        {&controlv1.CreateKeyRequest{Name: "a\nb", Environments: []string{production}, Reason: "r"}, "name: must be without line breaks"},
		"no environment":   {&controlv1.CreateKeyRequest{Name: "n", Reason: "r"}, "environments: is empty"},
		"no such name":     {&controlv1.CreateKeyRequest{Name: "n", Environments: []string{"_keys"}, Reason: "r"}, "environments[0]: must be 1 to 63 characters"},
		"twice":            {&controlv1.CreateKeyRequest{Name: "n", Environments: []string{production, production}, Reason: "r"}, "environments[1]: \"production\" is named twice"},
		"too many":         {&controlv1.CreateKeyRequest{Name: "n", Environments: many, Reason: "r"}, "environments: must be at most 30, not 31"},
		"expired":          {&controlv1.CreateKeyRequest{Name: "n", Environments: []string{production}, ExpiresAt: past, Reason: "r"}, "expires_at: 2026-11-22T10:30:00Z has passed"},
		"no time":          {&controlv1.CreateKeyRequest{Name: "n", Environments: []string{production}, ExpiresAt: &timestamppb.Timestamp{Nanos: -1}, Reason: "r"}, "expires_at: is not a time"},
		"no reason":        {&controlv1.CreateKeyRequest{Name: "n", Environments: []string{production}}, "reason: is required"},
		"a bad request id": {&controlv1.CreateKeyRequest{Name: "n", Environments: []string{production}, Reason: "r", RequestId: "a/b"}, "request_id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateKey(f.ctx, alice, tc.request)
			mentions(t, as[*InvalidError](t, err), tc.field)
		})
	}
	_, err := f.CreateKey(f.ctx, alice, &controlv1.CreateKeyRequest{Name: "n", Environments: []string{production, "nowhere"}, Reason: "r"})
	mentions(t, as[*NotFoundError](t, err), `environment "nowhere"`)
	if kvs := f.all(stateRoot + production + "/k/"); len(kvs) != 0 {
		t.Errorf("a refused key was written: %v", kvs)
	}
}

func TestUpdateKey(t *testing.T) {
	f, _ := newFixture(t)
	created := f.createKey("relays", production)
	id, base := created.GetKey().GetKey().GetId(), created.GetKey().GetRevision()
	update := func(base int64, expires *timestamppb.Timestamp, environments ...string) (*controlv1.UpdateKeyResponse, error) {
		return f.UpdateKey(f.ctx, alice, &controlv1.UpdateKeyRequest{
			KeyId: id, Name: "relays", Environments: environments, ExpiresAt: expires, BaseRevision: base, Reason: "scope",
		})
	}
	same, err := update(base, nil, production)
	if err != nil || len(same.GetEntries()) != 0 || !proto.Equal(same.GetKey(), created.GetKey()) {
		t.Fatalf("what is so already was written: %v, %v", same, err)
	}
	both, err := update(base, nil, staging, production)
	if err != nil {
		t.Fatal(err)
	}
	if opened := f.opened(id); len(opened) != 2 || !proto.Equal(opened[production], opened[staging]) || opened[staging].GetVersion() != 2 {
		t.Errorf("the replicas have %v", opened)
	}
	actions := func(entries []*controlv1.AuditEntry) string {
		var list []string
		for _, e := range entries {
			list = append(list, e.GetEnvironment()+" "+actionWord(e.GetAction()))
		}
		return strings.Join(list, ", ")
	}
	if got := actions(both.GetEntries()); got != "production updated, staging created" {
		t.Errorf("audited: %s", got)
	}
	_, err = update(base, nil, production)
	mentions(t, as[*ConflictError](t, err), "no longer at revision")

	moved, err := update(both.GetKey().GetRevision(), timestamppb.New(f.now().Add(time.Hour)), staging)
	if err != nil {
		t.Fatal(err)
	}
	if got := actions(moved.GetEntries()); got != "production deleted, staging updated" {
		t.Errorf("audited: %s", got)
	}
	opened := f.opened(id)
	presented, _ := accesskey.Parse(created.GetSecret())
	if len(opened) != 1 || !presented.Matches(opened[staging].GetSecretHash()) || opened[staging].GetExpiresAt() == nil {
		t.Errorf("the replicas have %v", opened)
	}
	_, err = update(moved.GetKey().GetRevision(), timestamppb.New(f.now().Add(-time.Hour)), staging)
	mentions(t, as[*InvalidError](t, err), "has passed")

	if _, err := f.RevokeKey(f.ctx, alice, &controlv1.RevokeKeyRequest{KeyId: id, Reason: "end"}); err != nil {
		t.Fatal(err)
	}
	_, err = update(moved.GetKey().GetRevision(), nil, staging)
	mentions(t, as[*NotFoundError](t, err), "or it is revoked")
}

// TestWideScopeChange: one transaction takes what a key opened and what it opens.
func TestWideScopeChange(t *testing.T) {
	f, s := newFixture(t)
	var names []string
	for i := range 2 * maxKeyEnvironments {
		name := fmt.Sprintf("e%02d", i)
		if _, err := ensureEnvironment(f.ctx, s, name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	created := f.createKey("wide", names[:maxKeyEnvironments]...)
	update := &controlv1.UpdateKeyRequest{
		KeyId: created.GetKey().GetKey().GetId(), Name: "wide", Environments: names[maxKeyEnvironments:],
		BaseRevision: created.GetKey().GetRevision(), Reason: "all others",
	}
	_, err := f.UpdateKey(f.ctx, alice, update)
	mentions(t, as[*InvalidError](t, err), "they are 60; one transaction takes 30")
	update.Environments = names[maxKeyEnvironments/2 : maxKeyEnvironments]
	if _, err := f.UpdateKey(f.ctx, alice, update); err != nil {
		t.Errorf("half of them: %v", err)
	}
}

func TestRevokeKey(t *testing.T) {
	f, _ := newFixture(t)
	created := f.createKey("relays", production, staging)
	other := f.createKey("others", production)
	id := created.GetKey().GetKey().GetId()
	request := &controlv1.RevokeKeyRequest{KeyId: id, Reason: "lost", RequestId: "once"}
	revoked, err := f.RevokeKey(f.ctx, alice, request)
	if err != nil || len(revoked.GetEntries()) != 2 || revoked.GetEntries()[0].GetAction() != controlv1.Action_ACTION_DELETED {
		t.Fatalf("revoked: %v, %v", revoked, err)
	}
	if opened := f.opened(id); len(opened) != 0 {
		t.Errorf("it still opens %v", opened)
	}
	if opened := f.opened(other.GetKey().GetKey().GetId()); len(opened) != 1 {
		t.Errorf("another one opens %v", opened)
	}
	again, err := f.RevokeKey(f.ctx, alice, request)
	if err != nil || len(again.GetEntries()) != 2 || !proto.Equal(again.GetEntries()[0], revoked.GetEntries()[0]) {
		t.Errorf("the request again: %v, %v", again, err)
	}
	_, err = f.RevokeKey(f.ctx, alice, &controlv1.RevokeKeyRequest{KeyId: id, Reason: "lost"})
	wants[*NotFoundError](t, err)
	history, err := f.ListKeyHistory(f.ctx, &controlv1.ListKeyHistoryRequest{Environment: staging, KeyId: id})
	if err != nil || len(history.GetEntries()) != 2 || history.GetEntries()[0].GetAccessKey() != nil {
		t.Errorf("history: %v, %v", history, err)
	}
	previous := f.all(resource{environment: staging, kind: keyKind, key: id}.auditPrefix())[1]
	if !bytes.Equal(history.GetEntries()[0].GetPreviousHash(), entryHash(previous.Value)) {
		t.Error("the chain of entries is broken")
	}
}

// TestRevokeWins: whatever changes at the same time, a revoked key opens nothing.
func TestRevokeWins(t *testing.T) {
	f, _ := newFixture(t)
	for range 20 {
		created := f.createKey("relays", production)
		id, base := created.GetKey().GetKey().GetId(), created.GetKey().GetRevision()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = f.UpdateKey(f.ctx, alice, &controlv1.UpdateKeyRequest{
				KeyId: id, Name: "relays", Environments: []string{staging, production}, BaseRevision: base, Reason: "more",
			})
		})
		if _, err := f.RevokeKey(f.ctx, alice, &controlv1.RevokeKeyRequest{KeyId: id, Reason: "lost"}); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if opened := f.opened(id); len(opened) != 0 {
			t.Fatalf("it opens %v", opened)
		}
	}
}

// TestCreateKeyHappensOnce: a repeated request makes no second key, and what an answer that
// was lost said is known again only where it was made.
func TestCreateKeyHappensOnce(t *testing.T) {
	f, faulty := newFaulty(t)
	request := &controlv1.CreateKeyRequest{Name: "relays", Environments: []string{production}, Reason: "r", RequestId: "once"}
	faulty.loseAfter.Store(1)
	created, err := f.CreateKey(f.ctx, alice, request)
	if err != nil {
		t.Fatalf("the store's answer was lost: %v", err)
	}
	presented, err := accesskey.Parse(created.GetSecret())
	if err != nil || presented.ID != created.GetKey().GetKey().GetId() {
		t.Fatalf("%s, %v", presented.ID, err)
	}
	_, err = f.CreateKey(f.ctx, alice, request)
	mentions(t, as[*ExistsError](t, err), presented.ID, "revoke the key and create another")
	if kvs := f.all(stateRoot + production + "/k/"); len(kvs) != 1 {
		t.Errorf("%d keys", len(kvs))
	}
}

// TestKeysAndFlagsApart: writes of flags leave keys alone, and a key needs no flag.
func TestKeysAndFlagsApart(t *testing.T) {
	f, _ := newFixture(t)
	created := f.createKey("relays", production, staging)
	id := created.GetKey().GetKey().GetId()
	f.create(boolFlag(id)) // of the same name
	applied, err := f.Apply(f.ctx, alice, &controlv1.ApplyRequest{Environment: production, Flags: flagWrites(boolFlag("a"), boolFlag("b")), Reason: "r"})
	if err != nil || len(applied.GetResults()) != 2 {
		t.Fatalf("%v, %v", applied, err)
	}
	if opened := f.opened(id); len(opened) != 2 || opened[production].GetVersion() != 1 {
		t.Errorf("the replicas have %v", opened)
	}
	list, err := f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{Environment: production})
	if err != nil || len(list.GetFlags()) != 3 {
		t.Errorf("%d flags, %v", len(list.GetFlags()), err)
	}
	if n := f.replicas.Replica(production).Snapshot().Eval().FlagCount(); n != 3 {
		t.Errorf("%d flags are evaluated", n)
	}
}

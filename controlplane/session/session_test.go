package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const adaID = "adaadaadaada"

// clock is one that a test sets.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.Load()) }
func (c *clock) advance(d time.Duration) { c.Add(int64(d)) }

// rig is what one server knows, of a store that it may share.
type rig struct {
	*Sessions
	t         *testing.T
	store     store.Store
	directory *identity.Directory
	clock     *clock
}

func newRig(t *testing.T, s store.Store, c *clock) *rig {
	t.Helper()
	d, err := identity.Open(t.Context(), identity.Options{Store: s, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := Open(t.Context(), Options{Store: s, Directory: d, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { d.Run(ctx); ended <- struct{}{} }()
	go func() { sessions.Run(ctx); ended <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-ended; <-ended })
	return &rig{sessions, t, s, d, c}
}

func newRigs(t *testing.T) (a, b *rig) {
	t.Helper()
	c := &clock{}
	c.Store(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC).UnixNano())
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	a, b = newRig(t, s, c), newRig(t, s, c)
	a.put(&accessv1.Identity{Id: adaID, Name: "ada@example.com", Kind: accessv1.IdentityKind_IDENTITY_KIND_PERSON}, b)
	return a, b
}

// put writes an identity, and waits until both know it.
func (r *rig) put(i *accessv1.Identity, other *rig) {
	r.t.Helper()
	data, err := proto.Marshal(i)
	if err != nil {
		r.t.Fatal(err)
	}
	revision := r.commit(store.Put(identity.Root+i.GetId(), data))
	r.directory.Await(r.t.Context(), i.GetId(), revision, false)
	other.directory.Await(r.t.Context(), i.GetId(), revision, false)
}

func (r *rig) commit(ops ...store.Op) int64 {
	r.t.Helper()
	out, err := r.store.Commit(r.t.Context(), store.Txn{Ops: ops})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.Revision
}

// login begins a session of ada, and returns its token and hash.
func (r *rig) login() (token, hash string) {
	r.t.Helper()
	who, err := r.directory.ByName("ada@example.com")
	if err != nil {
		r.t.Fatal(err)
	}
	token, began, err := r.Begin(r.t.Context(), Login{Who: who, Proof: ByPassword, UserAgent: "test\n", Peer: "127.0.0.1"})
	if err != nil {
		r.t.Fatal(err)
	}
	hash, err = accesskey.ParseSession(token)
	if err != nil || began.GetId() != ID(hash) || began.GetUserAgent() != "test?" {
		r.t.Fatalf("began %v, %v", began, err)
	}
	return token, hash
}

func (r *rig) good(hash string) bool {
	r.t.Helper()
	who, err := r.Find(r.t.Context(), hash)
	if err != nil && !errors.Is(err, ErrEnded) && !errors.Is(err, identity.ErrDisabled) {
		r.t.Fatal(err)
	}
	return err == nil && who.GetId() == adaID
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("never: " + what)
		}
	}
}

// TestTwoServers: what one begins the other knows at once, and what one ends is over on both.
func TestTwoServers(t *testing.T) {
	a, b := newRigs(t)
	_, hash := a.login()
	if !a.good(hash) || !b.good(hash) {
		t.Fatal("a session that has begun is not good on both")
	}
	_, err := b.Current(strings.Repeat("0", 64))
	if !errors.Is(err, ErrEnded) || b.good(strings.Repeat("0", 64)) {
		t.Error("a session that never was is good")
	}
	b.eventually("b has heard of it", func() bool { _, err := b.Current(hash); return err == nil })
	changed := b.Changed()
	if err := a.End(t.Context(), hash); err != nil {
		t.Fatal(err)
	}
	if a.good(hash) {
		t.Error("a session is good on the server that ended it")
	}
	<-changed
	if _, err := b.Current(hash); !errors.Is(err, ErrEnded) || b.good(hash) {
		t.Errorf("a session that another server ended: %v", err)
	}
	if err := a.End(t.Context(), hash); err != nil {
		t.Errorf("ended twice: %v", err)
	}
}

// TestEndsByItself: after its whole time, however much it is used.
func TestEndsByItself(t *testing.T) {
	a, b := newRigs(t)
	_, hash := a.login()
	for passed := 10 * time.Minute; passed < DefaultLast; passed += 10 * time.Minute {
		a.clock.advance(10 * time.Minute)
		if !a.good(hash) {
			t.Fatalf("not good after %v, although it is used", passed)
		}
		b.eventually("the use is written down", func() bool {
			entries, _ := b.mirror.All()
			return entries[hash].Value.GetLastSeenAt().AsTime().Equal(a.clock.now())
		})
	}
	a.clock.advance(10 * time.Minute)
	if _, err := a.Current(hash); !errors.Is(err, ErrEnded) || a.good(hash) || b.good(hash) {
		t.Errorf("after %v: %v", DefaultLast, err)
	}
}

// TestIdle: asking whether a session is still good is no use of it.
func TestIdle(t *testing.T) {
	a, _ := newRigs(t)
	_, hash := a.login()
	a.clock.advance(DefaultIdle - time.Second)
	if _, err := a.Current(hash); err != nil {
		t.Fatal(err)
	}
	a.clock.advance(time.Second)
	if _, err := a.Current(hash); !errors.Is(err, ErrEnded) || a.good(hash) {
		t.Errorf("good after %v without use: %v", DefaultIdle, err)
	}
}

// TestPersonEnds: with its person's right, a session ends, whatever it is found by.
func TestPersonEnds(t *testing.T) {
	for name, c := range map[string]struct {
		becomes *accessv1.Identity
		want    error
	}{
		"all sessions ended": {&accessv1.Identity{Id: adaID, Name: "ada@example.com", Sessions: 1}, ErrEnded},
		"disabled":           {&accessv1.Identity{Id: adaID, Name: "ada@example.com", Disabled: true}, identity.ErrDisabled},
		"deleted":            {nil, ErrEnded},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newRigs(t)
			_, hash := a.login()
			if c.becomes != nil {
				a.put(c.becomes, b)
			} else {
				revision := a.commit(store.Delete(identity.Root + adaID))
				a.directory.Await(t.Context(), adaID, revision, true)
				b.directory.Await(t.Context(), adaID, revision, true)
			}
			for _, r := range []*rig{a, b} {
				if _, err := r.Find(t.Context(), hash); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			}
			if len(a.List(adaID)) != 0 {
				t.Error("a session that is over is listed")
			}
		})
	}
}

// TestLoginRacesWithLogoutEverywhere: a session that begins on what was known before is over.
func TestLoginRacesWithLogoutEverywhere(t *testing.T) {
	a, b := newRigs(t)
	before, err := a.directory.ByName("ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	a.put(&accessv1.Identity{Id: adaID, Name: "ada@example.com", Sessions: 1}, b)
	token, _, err := a.Begin(t.Context(), Login{Who: before, Proof: ByPassword})
	if err != nil {
		t.Fatal(err)
	}
	hash, _ := accesskey.ParseSession(token)
	if a.good(hash) || b.good(hash) {
		t.Error("a session outlived that all were ended")
	}
}

// TestStoreHasNoToken: who reads the store can present nothing.
func TestStoreHasNoToken(t *testing.T) {
	a, _ := newRigs(t)
	token, _ := a.login()
	who, _ := a.directory.ByName("ada@example.com")
	sum := sha256.Sum256([]byte("verifier"))
	code, err := a.Defer(t.Context(), Login{Who: who, Proof: ByOpenID}, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	results, _, err := a.store.Read(t.Context(), store.Prefix("/"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range results[0].KVs {
		for _, secret := range []string{token, token[4:], code} {
			if strings.Contains(kv.Key+string(kv.Value), secret) {
				t.Errorf("%s holds a secret", kv.Key)
			}
		}
	}
}

// TestSweep: what is over is removed, and nothing else.
func TestSweep(t *testing.T) {
	a, b := newRigs(t)
	_, over := a.login()
	a.clock.advance(DefaultIdle)
	_, good := a.login()
	nobodys := &accessv1.Session{IdentityId: "nobodynobody", CreatedAt: timestamppb.New(a.clock.now()), LastSeenAt: timestamppb.New(a.clock.now()), ExpiresAt: timestamppb.New(a.clock.now().Add(time.Hour))}
	data, err := proto.Marshal(nobodys)
	if err != nil {
		t.Fatal(err)
	}
	unknown := strings.Repeat("a", 64)
	a.commit(store.Put(sessionsRoot+unknown, data))
	for _, r := range []*rig{a, b} {
		r.eventually("all are known", func() bool { all, _ := r.mirror.All(); return len(all) == 3 })
	}
	has := func(hash string) bool {
		results, _, err := a.store.Read(t.Context(), store.Key(sessionsRoot+hash))
		if err != nil {
			t.Fatal(err)
		}
		return len(results[0].KVs) == 1
	}
	a.sweep(t.Context())
	b.sweep(t.Context())
	if has(over) || !has(good) || !has(unknown) {
		t.Errorf("after a sweep there are: over %t, good %t, nobody's %t", has(over), has(good), has(unknown))
	}
	a.clock.advance(2 * settled)
	a.sweep(t.Context())
	if has(unknown) || !has(good) {
		t.Errorf("a session of nobody is there: %t; a good one: %t", has(unknown), has(good))
	}
}

// TestMost: one person does not fill the store.
func TestMost(t *testing.T) {
	a, _ := newRigs(t)
	_, first := a.login()
	for range most {
		a.clock.advance(time.Millisecond)
		a.login()
	}
	if n := len(a.List(adaID)); n != most || a.good(first) {
		t.Errorf("there are %d sessions, the first is good: %t", n, a.good(first))
	}
}

// TestRedeem: a code is good once, with what belongs to it, for a minute.
func TestRedeem(t *testing.T) {
	a, b := newRigs(t)
	who, _ := a.directory.ByName("ada@example.com")
	sum := sha256.Sum256([]byte("verifier"))
	begin := func() string {
		code, err := a.Defer(t.Context(), Login{Who: who, Proof: ByOpenID}, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	code := begin()
	for _, wrong := range [][2]string{{code, "another"}, {code, ""}, {"another", "verifier"}, {"", ""}} {
		if _, _, err := b.Redeem(t.Context(), wrong[0], wrong[1]); !errors.Is(err, ErrCode) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	token, began, err := b.Redeem(t.Context(), code, "verifier")
	if err != nil || began.GetProof() != ByOpenID {
		t.Fatalf("%v, %v", began, err)
	}
	if hash, _ := accesskey.ParseSession(token); !a.good(hash) {
		t.Error("the session is not good")
	}
	if _, _, err := a.Redeem(t.Context(), code, "verifier"); !errors.Is(err, ErrCode) {
		t.Errorf("the second time: %v", err)
	}
	late := begin()
	a.clock.advance(codeLife)
	if _, _, err := a.Redeem(t.Context(), late, "verifier"); !errors.Is(err, ErrCode) {
		t.Errorf("too late: %v", err)
	}
}

// afterRead is a store with which something happens after each read.
type afterRead struct {
	store.Store
	then func()
}

func (s afterRead) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	results, revision, err := s.Store.Read(ctx, ranges...)
	s.then()
	return results, revision, err
}

// TestRedeemedAtOnce: of two who redeem a code at once, one does.
func TestRedeemedAtOnce(t *testing.T) {
	a, b := newRigs(t)
	who, _ := a.directory.ByName("ada@example.com")
	sum := sha256.Sum256([]byte("verifier"))
	code, err := a.Defer(t.Context(), Login{Who: who, Proof: ByOpenID}, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	slow := *a.Sessions
	slow.o.Store = afterRead{a.store, func() {
		if _, _, err := b.Redeem(t.Context(), code, "verifier"); err != nil {
			t.Errorf("the first: %v", err)
		}
	}}
	if _, _, err := slow.Redeem(t.Context(), code, "verifier"); !errors.Is(err, ErrCode) {
		t.Errorf("the second: %v", err)
	}
	if n := len(b.List(adaID)); n != 1 {
		t.Errorf("%d sessions have begun", n)
	}
}

// TestEndedStaysEnded: a use that is written down late does not bring a session back.
func TestEndedStaysEnded(t *testing.T) {
	a, _ := newRigs(t)
	_, hash := a.login()
	entries, _ := a.mirror.All()
	held := found{entries[hash].Value, hash, entries[hash].Revision}
	if err := a.End(t.Context(), hash); err != nil {
		t.Fatal(err)
	}
	a.seen(t.Context(), held)
	results, _, err := a.store.Read(t.Context(), store.Prefix(sessionsRoot))
	if err != nil || len(results[0].KVs) != 0 {
		t.Errorf("there are %d sessions, %v", len(results[0].KVs), err)
	}
}

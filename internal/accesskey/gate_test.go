package accesskey_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/eval"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// with is a state after keys were written to another.
func with(tb testing.TB, s *snapshot.Snapshot, keys ...*accessv1.Key) *snapshot.Snapshot {
	tb.Helper()
	revision := s.Cursor().Revision + 1
	var puts []snapshot.Item
	for _, k := range keys {
		data, err := proto.Marshal(k)
		if err != nil {
			tb.Fatal(err)
		}
		puts = append(puts, snapshot.Item{Kind: syncv1.Kind_KIND_KEY, Key: k.GetId(), ModRevision: revision, Data: data})
	}
	next, _ := s.Next(revision, puts, nil)
	return next
}

func empty() *snapshot.Snapshot {
	return snapshot.New("production", snapshot.Epoch{Counter: 1}).Advance(1)
}

func newKey(role accessv1.Role, prefixes ...string) (header []string, key *accessv1.Key) {
	secret, p := accesskey.New()
	return []string{"Bearer " + secret}, &accessv1.Key{Id: p.ID, SecretHash: p.Hash(), Role: role, FlagPrefixes: prefixes}
}

// TestGate: what was found of a caller holds for as long as nothing says otherwise, and no longer.
func TestGate(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	header, key := newKey(accessv1.Role_ROLE_SDK_CLIENT)
	first := with(t, empty(), key)
	g := accesskey.NewGate(true)
	ask := func(s *snapshot.Snapshot, now time.Time) (*accesskey.Right, time.Time, error) {
		t.Helper()
		v, err := g.Visitor(header)
		if err != nil {
			t.Fatal(err)
		}
		return v.Right(s, now)
	}
	if _, _, err := ask(empty(), now); status.Code(err) != codes.PermissionDenied {
		t.Errorf("before there is the key: %v", err)
	}
	right, until, err := ask(first, now)
	if err != nil || right == nil || !until.IsZero() {
		t.Fatalf("%v, %v, %v", right, until, err)
	}
	if again, _, err := ask(first.Advance(7), now); again != right || err != nil {
		t.Errorf("a state that is the same: %v, %v", again, err)
	}
	if again, _, err := ask(with(t, first, &accessv1.Key{Id: "otherotherot"}), now); again != right || err != nil {
		t.Errorf("another key was written: %v, %v", again, err)
	}
	key.ExpiresAt = timestamppb.New(now.Add(time.Hour))
	expiring := with(t, first, key)
	if again, until, err := ask(expiring, now); again == right || !until.Equal(now.Add(time.Hour)) || err != nil {
		t.Errorf("written anew: %v, %v, %v", again, until, err)
	}
	if _, _, err := ask(expiring, now.Add(time.Hour)); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("an hour later: %v", err)
	}
	if _, _, err := ask(expiring, now); err != nil {
		t.Errorf("the clock went back: %v", err)
	}
	gone, _ := expiring.Next(9, nil, []snapshot.ID{{Kind: syncv1.Kind_KIND_KEY, Key: key.GetId()}})
	if _, _, err := ask(gone, now); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "it was revoked") {
		t.Errorf("revoked: %v", err)
	}
	if _, _, err := ask(expiring, now); err != nil {
		t.Errorf("a state in which it is there: %v", err)
	}
}

// TestGateRotation: the secret before is good until its overlap ends, and what both open is the
// same.
func TestGateRotation(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	header, key := newKey(accessv1.Role_ROLE_RELAY)
	secret, drawn := accesskey.NewFor(key.GetId())
	key.PreviousSecretHash, key.SecretHash = key.GetSecretHash(), drawn.Hash()
	key.PreviousExpiresAt = timestamppb.New(now.Add(time.Minute))
	for expires, before := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Second, time.Hour: time.Minute} {
		key.ExpiresAt = nil
		if expires > 0 {
			key.ExpiresAt = timestamppb.New(now.Add(expires))
		}
		s := with(t, empty(), key)
		g := accesskey.NewGate(false)
		for _, tc := range []struct {
			header []string
			until  time.Duration // zero: for ever
		}{
			{header, before},
			{[]string{"Bearer " + secret}, expires},
		} {
			v, err := g.Visitor(tc.header)
			if err != nil {
				t.Fatal(err)
			}
			_, until, err := v.Right(s, now)
			if err != nil || tc.until == 0 != until.IsZero() || tc.until != 0 && !until.Equal(now.Add(tc.until)) {
				t.Errorf("of a key that expires after %v: until %v, %v; want %v", expires, until, err, tc.until)
			}
		}
	}
	key.ExpiresAt = nil
	s := with(t, empty(), key)
	p, _ := accesskey.Parse(strings.TrimPrefix(header[0], "Bearer "))
	d := p.Opens(s, now.Add(time.Minute), accesskey.Follow)
	if d == nil || !d.Forged || status.Code(d.Status()) != codes.Unauthenticated || !strings.Contains(d.Problem, "until 2026-03-01T12:01:00Z: it was rotated") {
		t.Errorf("after the overlap: %+v", d)
	}
	if d := drawn.Opens(s, now.Add(time.Minute), accesskey.Follow); d != nil {
		t.Errorf("the newest: %+v", d)
	}
}

// TestUses: what a key of each role is good for.
func TestUses(t *testing.T) {
	for _, tc := range []struct {
		role     accessv1.Role
		prefixes []string
		good     []accesskey.Use
	}{
		{accessv1.Role_ROLE_UNSPECIFIED, nil, []accesskey.Use{accesskey.Follow, accesskey.Relay, accesskey.Evaluate}},
		{accessv1.Role_ROLE_RELAY, nil, []accesskey.Use{accesskey.Follow, accesskey.Relay, accesskey.Evaluate}},
		{accessv1.Role_ROLE_SDK_SERVER, nil, []accesskey.Use{accesskey.Follow, accesskey.Evaluate}},
		{accessv1.Role_ROLE_SDK_SERVER, []string{"a"}, []accesskey.Use{accesskey.Evaluate}},
		{accessv1.Role_ROLE_SDK_CLIENT, nil, []accesskey.Use{accesskey.Evaluate}},
		{accessv1.Role_ROLE_SDK_CLIENT, []string{"a"}, []accesskey.Use{accesskey.Evaluate}},
		{accessv1.Role_ROLE_ADMINISTRATOR, nil, nil},
		{99, nil, nil},
	} {
		header, key := newKey(tc.role, tc.prefixes...)
		p, err := accesskey.FromHeader(header, true)
		if err != nil {
			t.Fatal(err)
		}
		s := with(t, empty(), key)
		for _, use := range []accesskey.Use{accesskey.Follow, accesskey.Relay, accesskey.Evaluate} {
			d := p.Opens(s, time.Now(), use)
			if good := slices.Contains(tc.good, use); good != (d == nil) || d != nil && (d.Absent || d.Forged || status.Code(d.Status()) != codes.PermissionDenied) {
				t.Errorf("%v %v for use %d: %+v", tc.role, tc.prefixes, use, d)
			}
		}
	}
}

func flag(t *testing.T, key string, visible bool) *eval.Flag {
	t.Helper()
	f, err := eval.Compile(&flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, ClientVisible: visible, Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestRight: which flags are there for whom.
func TestRight(t *testing.T) {
	fingerprints := map[string]bool{}
	for _, tc := range []struct {
		role     accessv1.Role
		prefixes []string
		sees     string
	}{
		{accessv1.Role_ROLE_RELAY, nil, "a-dark a-shown b-dark b-shown"},
		{accessv1.Role_ROLE_SDK_SERVER, []string{"a-"}, "a-dark a-shown"},
		{accessv1.Role_ROLE_SDK_SERVER, []string{"c", "b-s"}, "b-shown"},
		{accessv1.Role_ROLE_SDK_CLIENT, nil, "a-shown b-shown"},
		{accessv1.Role_ROLE_SDK_CLIENT, []string{"a-"}, "a-shown"},
	} {
		header, key := newKey(tc.role, tc.prefixes...)
		v, err := accesskey.NewGate(true).Visitor(header)
		if err != nil {
			t.Fatal(err)
		}
		right, _, err := v.Right(with(t, empty(), key), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var sees []string
		for _, key := range []string{"a-dark", "a-shown", "b-dark", "b-shown"} {
			if f := flag(t, key, strings.HasSuffix(key, "shown")); right.Sees(f) {
				sees = append(sees, key)
			} else if r := right.Shown(key, eval.Result{Flag: f, Rule: "r"}); r.ErrorCode != eval.FlagNotFound || r.Flag != nil || r.Rule != "" {
				t.Errorf("%v: what is shown of %s: %+v", tc, key, r)
			}
		}
		if got := strings.Join(sees, " "); got != tc.sees || right.Sees(nil) {
			t.Errorf("%v %v sees %s, want %s", tc.role, tc.prefixes, got, tc.sees)
		}
		if follows := right.Follows() == nil; follows != (right == nil) {
			t.Errorf("%v %v follows: %v", tc.role, tc.prefixes, follows)
		}
		if fingerprints[right.Fingerprint()] {
			t.Errorf("%v has the fingerprint of another", tc)
		}
		fingerprints[right.Fingerprint()] = true
	}
}

// TestGateForgets: what is remembered of callers is bounded, whoever calls; and who may not come
// in leaves nothing behind.
func TestGateForgets(t *testing.T) {
	g := accesskey.NewGate(true)
	s := empty()
	const callers = 3*accesskey.MaxKnown/2 + 1
	var keys []*accessv1.Key
	headers := make([][]string, callers)
	for i := range headers {
		var key *accessv1.Key
		headers[i], key = newKey(accessv1.Role_ROLE_SDK_SERVER)
		keys = append(keys, key)
	}
	s = with(t, s, keys...)
	for i, header := range headers {
		v, err := g.Visitor(header)
		if err == nil {
			_, _, err = v.Right(s, time.Now())
		}
		if err != nil {
			t.Fatalf("caller %d: %v", i, err)
		}
		if n := g.Known(); n > accesskey.MaxKnown {
			t.Fatalf("%d are remembered", n)
		}
	}
	known := g.Known()
	for range 10 {
		stranger, _ := newKey(accessv1.Role_ROLE_RELAY)
		v, err := g.Visitor(stranger)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.Right(s, time.Now()); err == nil {
			t.Fatal("a stranger came in")
		}
	}
	if n := g.Known(); n != known {
		t.Errorf("of strangers %d are remembered", n-known)
	}
}

// TestGateConcurrently: callers, new states and strangers at the same time.
func TestGateConcurrently(t *testing.T) {
	g := accesskey.NewGate(true)
	header, key := newKey(accessv1.Role_ROLE_SDK_CLIENT)
	present, absent := with(t, empty(), key), empty()
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for n := range 500 {
				v, err := g.Visitor(header)
				if err != nil {
					t.Error(err)
					return
				}
				there := (n+i)%3 > 0
				s := absent
				if there {
					s = present
				}
				if right, _, err := v.Right(s, time.Now()); there != (err == nil) || there && right == nil {
					t.Errorf("there: %v, %v, %v", there, right, err)
				}
			}
		})
	}
	callers.Wait()
}

// TestGateAllocates: a caller who was let in before costs no memory.
func TestGateAllocates(t *testing.T) {
	g := accesskey.NewGate(true)
	header, key := newKey(accessv1.Role_ROLE_SDK_CLIENT)
	s, now := with(t, empty(), key), time.Now()
	if n := testing.AllocsPerRun(100, func() {
		v, err := g.Visitor(header)
		if err == nil {
			_, _, err = v.Right(s, now)
		}
		if err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// TestOpenGate: without a gate, what is presented is not looked at.
func TestOpenGate(t *testing.T) {
	var g *accesskey.Gate
	for _, values := range [][]string{nil, {"Basic x"}, {"a", "b"}} {
		v, err := g.Visitor(values)
		if err != nil {
			t.Fatal(err)
		}
		if right, _, err := v.Right(empty(), time.Now()); right != nil || err != nil {
			t.Errorf("%v: %v, %v", values, right, err)
		}
	}
}

// FuzzHeader: nothing that is presented is let in but the secret of a key, and errors quote
// nothing of it.
func FuzzHeader(f *testing.F) {
	header, key := newKey(accessv1.Role_ROLE_SDK_CLIENT)
	s := with(f, empty(), key)
	f.Add(header[0])
	f.Add("Bearer " + header[0])
	f.Add("bearer  " + header[0][7:])
	f.Add("Basic abc")
	f.Fuzz(func(t *testing.T, value string) {
		g := accesskey.NewGate(true)
		v, err := g.Visitor([]string{value})
		if err == nil {
			_, _, err = v.Right(s, time.Now())
		}
		if good := len(value) == len(header[0]) && strings.EqualFold(value[:7], "Bearer ") && value[7:] == header[0][7:]; good != (err == nil) {
			t.Errorf("%q: %v", value, err)
		}
		if code := status.Code(err); err != nil && code != codes.Unauthenticated && code != codes.PermissionDenied {
			t.Errorf("%q: %v", value, err)
		}
		if err != nil && len(value) > 24 && strings.Contains(err.Error(), value[len(value)-24:]) {
			t.Errorf("%q is quoted: %v", value, err)
		}
	})
}

func BenchmarkGate(b *testing.B) {
	header, key := newKey(accessv1.Role_ROLE_SDK_CLIENT)
	for _, known := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%d callers", known), func(b *testing.B) {
			g := accesskey.NewGate(true)
			keys := []*accessv1.Key{key}
			headers := [][]string{header}
			for range known - 1 {
				h, k := newKey(accessv1.Role_ROLE_SDK_SERVER)
				keys, headers = append(keys, k), append(headers, h)
			}
			s, now := with(b, empty(), keys...), time.Now()
			b.ReportAllocs()
			for i := range b.N {
				v, err := g.Visitor(headers[i%known])
				if err == nil {
					_, _, err = v.Right(s, now)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

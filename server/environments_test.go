package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// TestCreatedEnvironmentIsServed: an environment that one server makes, another one serves at once:
// to a relay that waits for it, whole, and to one that comes later.
func TestCreatedEnvironmentIsServed(t *testing.T) {
	s := shared{memstore.New()}
	a, b := start(t, Options{Store: s, InstanceID: "a"}), start(t, Options{Store: s, InstanceID: "b"})
	const flags = 70 // more than two transactions take
	for i := range flags {
		a.create(fmt.Sprintf("f%d", i))
	}
	waiting := waitFor(t, b, "waiting", "production", "fresh")
	for env := ""; env != "production"; {
		env, _ = waiting.next(t)
	}
	began := time.Now()
	made, err := a.environments.CreateEnvironment(as(t), &controlv1.CreateEnvironmentRequest{
		Name: "fresh", FromEnvironment: "production", Reason: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	env, puts := waiting.next(t)
	t.Logf("the other server served it %v after the request began", time.Since(began))
	if env != "fresh" || puts != flags {
		t.Errorf("the first that was served is %s with %d flags", env, puts)
	}
	later := waitFor(t, b, "later", "fresh")
	if env, puts := later.next(t); env != "fresh" || puts != flags {
		t.Errorf("to one that came later: %s with %d flags", env, puts)
	}
	list, err := b.environments.ListEnvironments(t.Context(), &controlv1.ListEnvironmentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	there := false
	for _, e := range list.GetEnvironments() {
		there = there || e.GetName() == "fresh" && e.GetFlagCount() == flags && e.GetCursor().GetRevision() >= made.GetRevision()
	}
	if !there {
		t.Errorf("it lists %v", list)
	}
}

// scopes is a relay that follows some environments.
type scopes struct {
	stream interface {
		Recv() (*syncv1.StreamResponse, error)
	}
}

func waitFor(t *testing.T, s *running, id string, environments ...string) *scopes {
	t.Helper()
	stream, err := syncv1.NewSyncServiceClient(s.conn).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hello := &syncv1.Hello{
		Protocol: 1, InstanceId: id, BootId: "boot", Path: []string{id}, FollowerKind: syncv1.FollowerKind_FOLLOWER_KIND_RELAY, StreamNumber: 1,
	}
	for _, name := range environments {
		hello.Scopes = append(hello.Scopes, &syncv1.Scope{Environment: name})
	}
	if err := stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	return &scopes{stream: stream}
}

// next takes one state: of which environment, and how many items came with it.
func (f *scopes) next(t *testing.T) (environment string, puts int) {
	t.Helper()
	for {
		m, err := f.stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		u := m.GetUpdate()
		puts += len(u.GetPuts())
		if u.GetCommit() != nil {
			return u.GetEnvironment(), puts
		}
	}
}

// TestWhoPromotes: what is promoted is read there and written here, key by key.
func TestWhoPromotes(t *testing.T) {
	a := newAsking(t)
	environments := controlv1.NewEnvironmentServiceClient(a.conn)
	flags := controlv1.NewFlagServiceClient(a.conn)
	for _, key := range []string{"checkout.a", "search.a"} {
		_, err := flags.CreateFlag(a.admin, &controlv1.CreateFlagRequest{Environment: "staging", Flag: boolean(key), Reason: "test"})
		if err != nil {
			t.Fatal(err)
		}
	}
	checkout, _ := a.service("checkout", &accessv1.Grant{Role: accessv1.Role_ROLE_EDITOR, KeyPrefixes: []string{"checkout."}})
	there, _ := a.service("there", &accessv1.Grant{Role: accessv1.Role_ROLE_EDITOR, Environments: []string{"production"}})
	promote := func(ctx context.Context, r *controlv1.PromoteEnvironmentRequest) codes.Code {
		r.FromEnvironment, r.ToEnvironment, r.ValidateOnly = "staging", "production", true
		_, err := environments.PromoteEnvironment(ctx, r)
		return status.Code(err)
	}
	compare := func(ctx context.Context, r *controlv1.CompareEnvironmentsRequest) codes.Code {
		r.Environments = []string{"staging", "production"}
		_, err := environments.CompareEnvironments(ctx, r)
		return status.Code(err)
	}
	for name, c := range map[string]struct{ got, want codes.Code }{
		"their prefix":          {promote(checkout, &controlv1.PromoteEnvironmentRequest{KeyPrefix: "checkout."}), codes.OK},
		"their keys":            {promote(checkout, &controlv1.PromoteEnvironmentRequest{Keys: []string{"checkout.a"}}), codes.OK},
		"keys of others":        {promote(checkout, &controlv1.PromoteEnvironmentRequest{Keys: []string{"checkout.a", "search.a"}}), codes.PermissionDenied},
		"a shorter prefix":      {promote(checkout, &controlv1.PromoteEnvironmentRequest{KeyPrefix: "check"}), codes.PermissionDenied},
		"everything":            {promote(checkout, &controlv1.PromoteEnvironmentRequest{}), codes.PermissionDenied},
		"what those need":       {promote(checkout, &controlv1.PromoteEnvironmentRequest{KeyPrefix: "checkout.", IncludeNeeded: true}), codes.PermissionDenied},
		"what they cannot read": {promote(there, &controlv1.PromoteEnvironmentRequest{}), codes.PermissionDenied},
		"an administrator":      {promote(a.admin, &controlv1.PromoteEnvironmentRequest{IncludeNeeded: true}), codes.OK},
		"compare their prefix":  {compare(checkout, &controlv1.CompareEnvironmentsRequest{KeyPrefix: "checkout."}), codes.OK},
		"compare a key":         {compare(checkout, &controlv1.CompareEnvironmentsRequest{Key: "search.a"}), codes.PermissionDenied},
		"compare everything":    {compare(checkout, &controlv1.CompareEnvironmentsRequest{}), codes.PermissionDenied},
		"compare with theirs":   {compare(there, &controlv1.CompareEnvironmentsRequest{}), codes.PermissionDenied},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if _, err := environments.CreateEnvironment(there, &controlv1.CreateEnvironmentRequest{Name: "fresh", Reason: "test"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an editor makes an environment: %v", err)
	}
}

// Package openid_test logs people in through an OpenID provider that is a process of its own and
// none of ours: the example of github.com/zitadel/oidc. It is a module of its own, so that
// nothing of that is in the build of anything else.
package openid_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/server"
	"github.com/tidegate/tidegate/server/openid"
)

const (
	providerEnv  = "TIDEGATE_TEST_PROVIDER"
	clientID     = "web"
	clientSecret = "secret"
	password     = "verysecure"
)

// providerSpec is what the provider's process is told.
type providerSpec struct{ Addr, Redirect, Users string }

func TestMain(m *testing.M) {
	if spec := os.Getenv(providerEnv); spec != "" {
		fmt.Fprintln(os.Stderr, "provider:", runProvider(spec))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runProvider serves until the process is killed.
func runProvider(encoded string) error {
	var spec providerSpec
	if err := json.Unmarshal([]byte(encoded), &spec); err != nil {
		return err
	}
	users, err := storage.StoreFromFile(spec.Users)
	if err != nil {
		return err
	}
	storage.RegisterClients(storage.WebClient(clientID, clientSecret, spec.Redirect))
	router := exampleop.SetupServer(issuerAt(spec.Addr), storage.NewStorage(users), slog.New(slog.DiscardHandler), false)
	s := &http.Server{Addr: spec.Addr, Handler: router, ReadHeaderTimeout: time.Minute}
	return s.ListenAndServe()
}

func issuerAt(addr string) string { return "http://" + addr + "/" }

func user(id, email string, verified bool) *storage.User {
	return &storage.User{ID: id, Username: id, Password: password, Email: email, EmailVerified: verified}
}

// rig is a server, the provider that it knows, and its administrator.
type rig struct {
	t          *testing.T
	server     *server.Server
	conn       *grpc.ClientConn
	identities controlv1.IdentityServiceClient
	sessions   controlv1.SessionServiceClient
	admin      context.Context
	provider   *exec.Cmd
	issuer     string
}

func start(t *testing.T) *rig {
	t.Helper()
	provider, http := freeAddr(t), freeAddr(t)
	redirect := "http://" + http + openid.CallbackPath
	r := &rig{t: t, issuer: issuerAt(provider)}
	s, err := server.Open(t.Context(), server.Options{
		Store: memstore.New(), GRPCAddr: "127.0.0.1:0", HTTPAddr: http, Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		OpenID: openid.Options{Issuer: r.issuer, ClientID: clientID, ClientSecret: clientSecret, RedirectURL: redirect},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.server = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if r.conn, err = grpc.NewClient(s.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })
	r.identities, r.sessions = controlv1.NewIdentityServiceClient(r.conn), controlv1.NewSessionServiceClient(r.conn)
	r.admin = presenting(t.Context(), s.FirstSecret())
	r.startProvider(providerSpec{Addr: provider, Redirect: redirect})
	return r
}

func presenting(ctx context.Context, secret string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
}

// startProvider starts the provider's process, and waits until it answers.
func (r *rig) startProvider(spec providerSpec) {
	r.t.Helper()
	users, err := json.Marshal(map[string]*storage.User{
		"ada":     user("ada", "Ada@example.com", true),
		"another": user("another", "ada@example.com", true),
		"bob":     user("bob", "bob@example.com", false),
		"carol":   user("carol", "carol@example.com", true),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	spec.Users = filepath.Join(r.t.TempDir(), "users.json")
	if err := os.WriteFile(spec.Users, users, 0o600); err != nil {
		r.t.Fatal(err)
	}
	encoded, err := json.Marshal(spec)
	if err != nil {
		r.t.Fatal(err)
	}
	r.provider = exec.Command(os.Args[0])
	r.provider.Env = append(os.Environ(), providerEnv+"="+string(encoded))
	r.provider.Stderr = os.Stderr
	if err := r.provider.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.stopProvider)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(r.issuer + ".well-known/openid-configuration")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the provider does not answer: %v", err)
		}
	}
}

func (r *rig) stopProvider() {
	_ = r.provider.Process.Kill() // it may have ended
	_ = r.provider.Wait()
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// person makes one without a password.
func (r *rig) person(name string) *controlv1.IdentityVersion {
	r.t.Helper()
	made, err := r.identities.CreateIdentity(r.admin, &controlv1.CreateIdentityRequest{Reason: "test", Identity: &accessv1.Identity{
		Kind: accessv1.IdentityKind_IDENTITY_KIND_PERSON, Name: name, Grants: []*accessv1.Grant{{Role: accessv1.Role_ROLE_VIEWER}},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return made.GetIdentity()
}

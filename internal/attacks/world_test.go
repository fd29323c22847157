package attacks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/shipped"
)

const (
	production = bed.Environment
	password   = "correct-horse-battery-staple"
	// canary is a text in a rule, and canaryFlag the key of its flag: nobody who was refused
	// may have heard of either.
	canary, canaryFlag = "canary-in-a-rule", "canary-flag"
)

var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tidegate-attacks-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := shipped.Build(context.Background(), "../..", dir, ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	return m.Run()
}

// record is all that was written to it.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// world is a control server and a relay that follows it, both of which ask who calls, and those who
// may.
type world struct {
	server            *bed.Server
	relay             *bed.Relay
	dataDir, stateDir string
	// logs is all that the processes and commands wrote, answers all that whoever attacked was
	// told.
	logs, answers record
	// secrets are all that were made, by what they are of.
	secrets map[string]string
	keys    map[string]string // the ids of keys, by the same
	conns   map[string]*grpc.ClientConn
}

// newWorld starts it. Secrets are of viewer, editor, operator and administrator; of the editor of dev
// alone; of keys of each role; of ada, who logs in.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dataDir: t.TempDir(), stateDir: t.TempDir(), secrets: map[string]string{}, keys: map[string]string{}}
	w.server = bed.NewAskingServer(t, bin, "--data-dir", w.dataDir, "--log-level", "debug")
	w.server.LogTo(&w.logs)
	w.server.Start()
	w.secrets["administrator"] = regexp.MustCompile(`tgk_[a-z0-9]{12}_[A-Za-z0-9_-]{43}`).FindString(w.logs.String())
	w.conns = map[string]*grpc.ClientConn{"server": bed.Dial(t, w.server.GRPC)}
	for _, role := range []accessv1.Role{accessv1.Role_ROLE_VIEWER, accessv1.Role_ROLE_EDITOR, accessv1.Role_ROLE_OPERATOR} {
		w.service(t, strings.ToLower(strings.TrimPrefix(role.String(), "ROLE_")), nil, &accessv1.Grant{Role: role})
	}
	w.service(t, "editor of dev", nil, &accessv1.Grant{Role: accessv1.Role_ROLE_EDITOR, Environments: []string{"dev"}})
	w.key(t, "relay", accessv1.Role_ROLE_RELAY, production, nil)
	w.key(t, "sdk-server", accessv1.Role_ROLE_SDK_SERVER, production, nil)
	w.key(t, "sdk-client", accessv1.Role_ROLE_SDK_CLIENT, production, nil)
	w.key(t, "relay of staging", accessv1.Role_ROLE_RELAY, "staging", nil)
	w.person(t, "ada@example.com")
	w.secrets["password"] = password
	for _, f := range []*flagv1.Flag{ruled(canaryFlag, false), ruled("shown", true)} {
		if _, err := controlv1.NewFlagServiceClient(w.conns["server"]).CreateFlag(w.as(t, "administrator"), &controlv1.CreateFlagRequest{
			Environment: production, Flag: f, Reason: "test",
		}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(w.secrets["relay"]), 0o600); err != nil {
		t.Fatal(err)
	}
	w.relay = bed.NewRelay(t, bin, w.server.GRPC, w.stateDir, "--key-file", file, "--require-keys", "--log-level", "debug")
	w.relay.LogTo(&w.logs)
	w.relay.Start()
	w.conns["relay"] = bed.Dial(t, w.relay.GRPC)
	bed.Eventually(t, "the relay answers", func() error {
		a, err := evaluationv1.NewEvaluationServiceClient(w.conns["relay"]).Evaluate(w.as(t, "sdk-client"), &evaluationv1.EvaluateRequest{FlagKey: "shown"})
		if err == nil && !a.GetBoolValue() {
			err = fmt.Errorf("it answers %v", a)
		}
		return err
	})
	return w
}

// ruled is a flag with a telling rule that serves on to everybody.
func ruled(key string, visible bool) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, ClientVisible: visible,
		Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
		Rules:    []*flagv1.Rule{{Id: canary, Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}}}},
	}
}

// service makes an identity, good until a time; nil: for ever.
func (w *world) service(t *testing.T, name string, expires *timestamppb.Timestamp, grants ...*accessv1.Grant) *controlv1.IdentityVersion {
	t.Helper()
	made, err := controlv1.NewIdentityServiceClient(w.conns["server"]).CreateIdentity(w.as(t, "administrator"), &controlv1.CreateIdentityRequest{
		Reason: "test", RequestId: uuid.NewString(), Identity: &accessv1.Identity{
			Kind: accessv1.IdentityKind_IDENTITY_KIND_SERVICE, Name: strings.ReplaceAll(name, " ", "-"), Grants: grants, ExpiresAt: expires,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.secrets[name] = made.GetSecret()
	return made.GetIdentity()
}

func (w *world) person(t *testing.T, name string) *controlv1.IdentityVersion {
	t.Helper()
	made, err := controlv1.NewIdentityServiceClient(w.conns["server"]).CreateIdentity(w.as(t, "administrator"), &controlv1.CreateIdentityRequest{
		Reason: "test", Password: password, Identity: &accessv1.Identity{
			Kind: accessv1.IdentityKind_IDENTITY_KIND_PERSON, Name: name, Grants: []*accessv1.Grant{{Role: accessv1.Role_ROLE_EDITOR}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetIdentity()
}

// key makes a key of one environment.
func (w *world) key(t *testing.T, name string, role accessv1.Role, environment string, expires *timestamppb.Timestamp) {
	t.Helper()
	made, err := controlv1.NewKeyServiceClient(w.conns["server"]).CreateKey(w.as(t, "administrator"), &controlv1.CreateKeyRequest{
		Name: name, Environments: []string{environment}, Role: role, Reason: "test", RequestId: uuid.NewString(), ExpiresAt: expires,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.secrets[name], w.keys[name] = made.GetSecret(), made.GetKey().GetKey().GetId()
}

// as is a context of calls that present a secret of the world's.
func (w *world) as(t *testing.T, name string) context.Context {
	t.Helper()
	secret, there := w.secrets[name]
	if !there {
		t.Fatalf("there is no %q", name)
	}
	return presenting(t, "Bearer "+secret)
}

// presenting is a context of calls with values of the authorization header.
func presenting(t *testing.T, values ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*bed.Patience)
	t.Cleanup(cancel)
	for _, v := range values {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", v)
	}
	return ctx
}

// heard records what a call fails with, and returns its code.
func (w *world) heard(err error) codes.Code {
	if err != nil {
		fmt.Fprintln(&w.answers, err)
	}
	return status.Code(err)
}

// list lists the flags of production at the server.
func (w *world) list(ctx context.Context) codes.Code {
	_, err := controlv1.NewFlagServiceClient(w.conns["server"]).ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: production})
	return w.heard(err)
}

// evaluate evaluates a flag at the relay.
func (w *world) evaluate(ctx context.Context) codes.Code {
	_, err := evaluationv1.NewEvaluationServiceClient(w.conns["relay"]).Evaluate(ctx, &evaluationv1.EvaluateRequest{FlagKey: "shown"})
	return w.heard(err)
}

const listFlags = "/tidegate.control.v1.FlagService/ListFlags"

// http makes a request with headers, in pairs, and returns the status and the body.
func (w *world) http(t *testing.T, method, addr, path, body string, header ...string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(presenting(t), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "Host":
			q.Host = header[i+1]
		case "Content-Type":
			q.Header.Set(header[i], header[i+1])
		default:
			q.Header.Add(header[i], header[i+1])
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&w.answers, resp.Status, resp.Header, string(text))
	return resp.StatusCode, string(text)
}

// raw sends bytes to an address as they are, and returns what comes until the other side ends the
// connection, or until wait is over.
func (w *world) raw(t *testing.T, addr, send string, wait time.Duration) (answer string, ended bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, send) // it may be refused halfway
	text, err := io.ReadAll(conn)
	fmt.Fprintln(&w.answers, string(text))
	return string(text), err == nil || !os.IsTimeout(err)
}

// cli runs the command line with a secret, and returns what it printed.
func (w *world) cli(t *testing.T, as string, args ...string) (out string, ok bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(w.secrets[as]), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "tidegate"), append(args, "--server", w.server.GRPC)...)
	cmd.Env = append(os.Environ(), "TIDEGATE_KEY_FILE="+file)
	data, err := cmd.CombinedOutput()
	_, _ = w.logs.Write(data)
	return string(data), err == nil
}

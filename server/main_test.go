package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/rpc"
)

func TestMain(m *testing.M) {
	etcdtest.RunNodeIfAsked()
	goleak.VerifyTestMain(m)
}

// running is a server under test and its clients.
type running struct {
	t            *testing.T
	server       *Server
	conn         *grpc.ClientConn
	flags        controlv1.FlagServiceClient
	segments     controlv1.SegmentServiceClient
	environments controlv1.EnvironmentServiceClient
	http         *http.Client
	stop         func() // ends the server and waits for it
}

// start starts a server on free ports that asks nobody who they are; without a data directory
// or a store, on one in memory.
func start(t *testing.T, o Options) *running {
	t.Helper()
	o.Open = true
	return startAsking(t, o)
}

// startAsking is start of a server that asks.
func startAsking(t *testing.T, o Options) *running {
	t.Helper()
	if o.DataDir == "" && o.Store == nil {
		o.Store = memstore.New()
	}
	setDefault(&o.GRPCAddr, "127.0.0.1:0")
	o.HTTPAddr = "127.0.0.1:0"
	o.Logger = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	conn, err := grpc.NewClient(s.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	stopped := false
	r := &running{
		t: t, server: s, conn: conn, http: &http.Client{Transport: transport},
		flags:        controlv1.NewFlagServiceClient(conn),
		segments:     controlv1.NewSegmentServiceClient(conn),
		environments: controlv1.NewEnvironmentServiceClient(conn),
		stop: func() {
			if stopped {
				return
			}
			stopped = true
			conn.Close()
			transport.CloseIdleConnections()
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		},
	}
	t.Cleanup(r.stop)
	return r
}

// as is a context of calls that claim to be ada's.
func as(t *testing.T) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), rpc.ActorKey, "ada")
}

func (r *running) url(path string) string { return "http://" + r.server.HTTPAddr() + path }

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	resp, err := r.http.Get(r.url(path))
	if err != nil {
		r.t.Fatal(err)
	}
	return read(r.t, resp)
}

func (r *running) post(path, body string, header ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url(path), strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return read(r.t, resp)
}

func read(t *testing.T, resp *http.Response) (int, string) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// create makes a boolean flag in production.
func (r *running) create(key string) *controlv1.FlagVersion {
	r.t.Helper()
	got, err := r.flags.CreateFlag(as(r.t), &controlv1.CreateFlagRequest{Environment: "production", Flag: boolean(key), Reason: "test"})
	if err != nil {
		r.t.Fatalf("create %s: %v", key, err)
	}
	return got.GetFlag()
}

func boolean(key string) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)},
			{Name: "off", Value: structpb.NewBoolValue(false)},
		},
		OffVariant:     "off",
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
	}
}

func staff() *flagv1.Segment {
	return &flagv1.Segment{Key: "staff", Included: []string{"user-1"}}
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/relay"
	"github.com/tidegate/tidegate/server"
)

// environment is 'tidegate dev' under test.
type environment struct {
	server     *server.Server
	relay      *relay.Relay
	flags      controlv1.FlagServiceClient
	evaluation evaluationv1.EvaluationServiceClient
	out        *bytes.Buffer // what it printed before it was ready
	stop       func()        // ends it and waits
}

func startDev(t *testing.T, dir string) *environment {
	t.Helper()
	const anyPort = "127.0.0.1:0"
	e := &environment{out: &bytes.Buffer{}}
	ready := make(chan struct{})
	d := &dev{
		streams: &streams{out: e.out, err: io.Discard},
		server:  server.Options{DataDir: dir, GRPCAddr: anyPort, HTTPAddr: anyPort},
		relay:   relay.Options{GRPCAddr: anyPort, HTTPAddr: anyPort, ManagementAddr: anyPort, FlagdSyncAddr: anyPort},
		logger:  zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		ready: func(s *server.Server, r *relay.Relay) {
			e.server, e.relay = s, r
			close(ready)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	stopped := false
	e.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("dev: %v", err)
		}
	}
	t.Cleanup(e.stop)
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("dev ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("dev is not ready")
	}
	e.flags = controlv1.NewFlagServiceClient(connect(t, e.server.GRPCAddr()))
	e.evaluation = evaluationv1.NewEvaluationServiceClient(connect(t, e.relay.GRPCAddr()))
	return e
}

func connect(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// evaluate asks the relay for new-checkout.
func (e *environment) evaluate(t *testing.T, environment, country string) *evaluationv1.EvaluateResponse {
	t.Helper()
	r, err := e.evaluation.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{
		Environment: environment, FlagKey: "new-checkout",
		Context: &evaluationv1.EvaluationContext{TargetingKey: "user-1", Attributes: &structpb.Struct{
			Fields: map[string]*structpb.Value{"country": structpb.NewStringValue(country)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// The main path: the examples answer at the relay, the kill switch changes the answer,
// and a restart keeps it.
func TestDev(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := startDev(t, dir)
	for _, environment := range []string{"", "production", "staging", "dev"} {
		eventually(t, "the examples answer in "+environment, func() bool {
			r := e.evaluate(t, environment, "Canada")
			return r.GetBoolValue() && r.GetReason() == "TARGETING_MATCH"
		})
	}
	disabled, err := e.flags.SetEnabled(t.Context(), &controlv1.SetEnabledRequest{
		Environment: "production", FlagKey: "new-checkout", Enabled: false, Reason: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the relay answers DISABLED", func() bool {
		r := e.evaluate(t, "production", "Canada")
		return !r.GetBoolValue() && r.GetReason() == "DISABLED" && r.GetFlagRevision() == disabled.GetFlag().GetRevision()
	})
	e.stop()

	e = startDev(t, dir)
	eventually(t, "after a restart the relay answers DISABLED", func() bool {
		return e.evaluate(t, "production", "Canada").GetReason() == "DISABLED"
	})
	if r := e.evaluate(t, "staging", "Canada"); r.GetReason() != "TARGETING_MATCH" {
		t.Errorf("staging after the restart: got %v", r)
	}
}

// The examples do not come back into a store that has something.
func TestDevKeepsStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := startDev(t, dir)
	list, err := e.flags.ListFlags(t.Context(), &controlv1.ListFlagsRequest{Environment: "dev"})
	if err != nil || len(list.GetFlags()) < 2 {
		t.Fatalf("examples: got %v, %v", list, err)
	}
	gone := list.GetFlags()[0]
	if _, err := e.flags.DeleteFlag(t.Context(), &controlv1.DeleteFlagRequest{
		Environment: "dev", FlagKey: gone.GetFlag().GetKey(), BaseRevision: gone.GetRevision(), Reason: "test",
	}); err != nil {
		t.Fatal(err)
	}
	e.stop()
	e = startDev(t, dir)
	after, err := e.flags.ListFlags(t.Context(), &controlv1.ListFlagsRequest{Environment: "dev"})
	if err != nil || len(after.GetFlags()) != len(list.GetFlags())-1 {
		t.Errorf("after a restart: got %d flags, %v; want %d", len(after.GetFlags()), err, len(list.GetFlags())-1)
	}
}

// TestWelcome runs every command that dev prints. grpcurl and curl are not needed:
// their arguments are sent as they would send them.
func TestWelcome(t *testing.T) {
	t.Parallel()
	e := startDev(t, t.TempDir())
	text := e.out.String()
	if !strings.Contains(text, "loopback only") || strings.Contains(text, "<no value>") {
		t.Errorf("got:\n%s", text)
	}
	ran := map[string]int{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "  ") {
			continue
		}
		words := shellWords(line)
		if len(words) < 3 || words[0] == "#" {
			continue
		}
		switch name := words[0]; name {
		case "grpcurl":
			runGRPCurl(t, words)
			ran[name]++
		case "curl":
			runCurl(t, words)
			ran[name]++
		case "tidegate":
			if code, _, stderr := execute(t.Context(), words[1:]...); code != exitOK {
				t.Errorf("%s: exit code %d, %s", line, code, stderr)
			}
			ran[name]++
		}
	}
	if ran["grpcurl"] != 5 || ran["curl"] != 2 || ran["tidegate"] != 4 {
		t.Errorf("ran %v of\n%s", ran, text)
	}
}

// runGRPCurl does what grpcurl does with -d JSON ADDRESS SERVICE/METHOD.
func runGRPCurl(t *testing.T, words []string) {
	t.Helper()
	if words[len(words)-1] == "list" {
		return
	}
	data, addr, method := words[3], words[4], words[5]
	service, name := path.Split(method)
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.TrimSuffix(service, "/") + "." + name))
	if err != nil {
		t.Errorf("%s: %v", method, err)
		return
	}
	m := d.(protoreflect.MethodDescriptor)
	request, response := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if err := protojson.Unmarshal([]byte(data), request); err != nil {
		t.Errorf("%s %s: %v", method, data, err)
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := connect(t, addr).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+method)
	if err == nil {
		err = stream.SendMsg(request)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		err = stream.RecvMsg(response)
	}
	if err != nil {
		t.Errorf("%s %s: %v", method, data, err)
	}
}

func runCurl(t *testing.T, words []string) {
	t.Helper()
	header, data, url := words[2], words[4], words[5]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	k, v, _ := strings.Cut(header, ": ")
	req.Header.Set(k, v)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "new-checkout") {
		t.Errorf("curl: got %s %s, %v", resp.Status, body, err)
	}
}

// shellWords splits a line as a shell does, with both kinds of quotes and no more.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	var quote rune
	in := false
	for _, c := range strings.TrimSpace(line) {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, in = c, true
		case quote == 0 && c == ' ':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(c)
			in = true
		}
	}
	return append(words, word.String())
}

// A port in use is named with the flag that changes it, and nothing stays behind.
func TestDevPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"grpc-addr", "http-addr", "relay-grpc-addr", "relay-http-addr", "relay-management-addr", "relay-flagd-sync-addr"} {
		args := []string{"dev", "--data-dir", t.TempDir()}
		for _, other := range []string{"grpc-addr", "http-addr", "relay-grpc-addr", "relay-http-addr", "relay-management-addr", "relay-flagd-sync-addr"} {
			addr := "127.0.0.1:0"
			if other == flag {
				addr = taken.Addr().String()
			}
			args = append(args, "--"+other, addr)
		}
		code, _, stderr := execute(t.Context(), args...)
		if code != exitFailure || !strings.Contains(stderr, taken.Addr().String()) || !strings.Contains(stderr, "--"+flag+"\n") {
			t.Errorf("%s: got %d %q", flag, code, stderr)
		}
	}
}

// Who opens it to others is told what that means, and gets commands that work here.
func TestWelcomeOnAllAddresses(t *testing.T) {
	t.Parallel()
	const local, all = "127.0.0.1:1", "[::]:7013"
	loopback := devAddresses{Server: local, ServerHTTP: local, Relay: local, RelayHTTP: local, Management: local, FlagdSync: local}
	server, relay := loopback, loopback
	server.Server, relay.RelayHTTP = all, all
	for want, addresses := range map[string]devAddresses{
		"machine\n  can change flags.": server,
		"machine can evaluate flags":   relay,
		"Open, on loopback only":       loopback,
	} {
		var out bytes.Buffer
		err := printWelcome(&out, "dir", addresses)
		text := out.String()
		if err != nil || !strings.Contains(text, want) || strings.Contains(text, all) {
			t.Errorf("want %q, got %v:\n%s", want, err, text)
		}
		if claims := strings.Count(text, "nobody is asked"); claims != 1 {
			t.Errorf("%d claims of who can do what:\n%s", claims, text)
		}
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := execute(ctx, "server", "--open", "--data-dir", t.TempDir(), "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0")
	if code != exitFailure || stderr != "error: interrupted\n" {
		t.Errorf("got %d %q", code, stderr)
	}
}

func TestDevDataDirInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startDev(t, dir)
	const anyPort = "127.0.0.1:0"
	code, _, stderr := execute(t.Context(), "dev", "--data-dir", dir, "--grpc-addr", anyPort, "--http-addr", anyPort,
		"--relay-grpc-addr", anyPort, "--relay-http-addr", anyPort, "--relay-management-addr", anyPort, "--relay-flagd-sync-addr", anyPort)
	if code != exitFailure || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "in use") {
		t.Errorf("got %d %q", code, stderr)
	}
}

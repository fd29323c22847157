package attacks

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

var errWait = errors.New("not yet")

// endsWithin is the promise of what is revoked.
const endsWithin = time.Second

// stream is one that is open: next waits for what it tells next.
type stream struct{ next func() (proto.Message, error) }

// opened makes a stream of what a call returns.
func opened[M proto.Message](recv func() (M, error), err error) stream {
	return stream{func() (proto.Message, error) {
		if err != nil {
			return nil, err
		}
		m, failed := recv()
		if failed != nil {
			return nil, failed
		}
		return m, nil
	}}
}

// follow follows production, as a relay does. A goodbye is an error.
func follow(ctx context.Context, conn *grpc.ClientConn) stream {
	s, err := syncv1.NewSyncServiceClient(conn).Stream(ctx)
	if err != nil {
		return stream{func() (proto.Message, error) { return nil, err }}
	}
	id := uuid.NewString()
	_ = s.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{ // what it fails with, Recv tells
		Protocol: 1, InstanceId: id, BootId: "b", Path: []string{id}, Scopes: []*syncv1.Scope{{Environment: production}},
	}}})
	return stream{func() (proto.Message, error) {
		for {
			m, err := s.Recv()
			switch {
			case err != nil:
				return nil, err
			case m.GetGoodbye() != nil:
				return nil, status.Error(codes.PermissionDenied, m.GetGoodbye().GetMessage())
			case m.GetUpdate() != nil || m.GetHeartbeat() != nil:
				return m, nil
			}
		}
	}}
}

// evaluations is an EvaluateStream that was asked once.
func evaluations(ctx context.Context, conn *grpc.ClientConn) stream {
	s, err := evaluationv1.NewEvaluationServiceClient(conn).EvaluateStream(ctx)
	if err != nil {
		return stream{func() (proto.Message, error) { return nil, err }}
	}
	_ = s.Send(&evaluationv1.EvaluateStreamRequest{Id: 1, Request: &evaluationv1.EvaluateRequest{FlagKey: "shown"}})
	return stream{func() (proto.Message, error) {
		m, err := s.Recv()
		if e := m.GetError(); e != nil {
			return nil, status.Error(codes.Code(e.GetCode()), e.GetMessage())
		}
		return m, err
	}}
}

// events are OFREP's.
func events(t *testing.T, w *world, secret string) stream {
	t.Helper()
	q, err := http.NewRequestWithContext(presenting(t), http.MethodGet, "http://"+w.relay.HTTP+"/ofrep/v1/sse", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return stream{func() (proto.Message, error) {
		if resp.StatusCode != http.StatusOK {
			return nil, status.Error(codes.PermissionDenied, resp.Status)
		}
		_, err := resp.Body.Read(make([]byte, 4096))
		if errors.Is(err, io.EOF) { // all that a server of events can say
			err = status.Error(codes.PermissionDenied, "ended")
		}
		return nil, err
	}}
}

// lasting is all that a key opens and that lasts.
func lasting(t *testing.T, w *world, secret string) map[string]stream {
	t.Helper()
	ctx, relay := presenting(t, "Bearer "+secret), w.conns["relay"]
	flagdSync, syncErr := flagdsyncv1.NewFlagSyncServiceClient(relay).SyncFlags(ctx, &flagdsyncv1.SyncFlagsRequest{})
	watch, watchErr := evaluationv1.NewEvaluationServiceClient(relay).Watch(ctx, &evaluationv1.WatchRequest{})
	one, oneErr := flagdv1.NewServiceClient(relay).EventStream(ctx, &flagdv1.EventStreamRequest{})
	two, twoErr := flagdv2.NewServiceClient(relay).EventStream(ctx, &flagdv2.EventStreamRequest{})
	return map[string]stream{
		"sync at the server": follow(ctx, w.conns["server"]),
		"sync at the relay":  follow(ctx, relay),
		"EvaluateStream":     evaluations(ctx, relay),
		"Watch":              opened(watch.Recv, watchErr),
		"flagd's sync":       opened(flagdSync.Recv, syncErr),
		"flagd's events, v1": opened(one.Recv, oneErr),
		"flagd's events, v2": opened(two.Recv, twoErr),
		"OFREP's events":     events(t, w, secret),
	}
}

// mustEnd demands that streams end within a second of now, and that it is said why.
func mustEnd(t *testing.T, w *world, streams map[string]stream) {
	t.Helper()
	since := time.Now()
	type end struct {
		name string
		took time.Duration
		err  error
	}
	ends := make(chan end)
	for name, s := range streams {
		go func() {
			var err error
			for err == nil { // what was on its way comes first
				_, err = s.next()
			}
			ends <- end{name, time.Since(since), err}
		}()
	}
	for range streams {
		e := <-ends
		if code := w.heard(e.err); code != codes.PermissionDenied && code != codes.Unauthenticated || e.took > endsWithin {
			t.Errorf("%s ends after %v with %v", e.name, e.took, e.err)
		}
	}
}

func revokedMidstream(t *testing.T, w *world) {
	if _, err := evaluations(presenting(t), w.conns["relay"]).next(); w.heard(err) != codes.Unauthenticated {
		t.Errorf("EvaluateStream without a key: %v", err)
	}
	w.key(t, "to be revoked", accessv1.Role_ROLE_SDK_SERVER, production, nil)
	bed.Eventually(t, "the relay knows the key", func() error {
		if w.evaluate(w.as(t, "to be revoked")) != codes.OK {
			return errWait
		}
		return nil
	})
	streams := lasting(t, w, w.secrets["to be revoked"])
	for name, s := range streams {
		if _, err := s.next(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := controlv1.NewKeyServiceClient(w.conns["server"]).RevokeKey(w.as(t, "administrator"), &controlv1.RevokeKeyRequest{
		KeyId: w.keys["to be revoked"], Reason: "lost",
	}); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, w, streams)
	for name, s := range lasting(t, w, w.secrets["to be revoked"]) {
		if _, err := s.next(); w.heard(err) != codes.PermissionDenied {
			t.Errorf("%s, again: %v", name, err)
		}
	}
}

func disabledMidstream(t *testing.T, w *world) {
	who := w.service(t, "to be disabled", nil, &accessv1.Grant{Role: accessv1.Role_ROLE_VIEWER})
	ctx := w.as(t, "to be disabled")
	relays, relaysErr := controlv1.NewFleetServiceClient(w.conns["server"]).WatchRelays(ctx, &controlv1.WatchRelaysRequest{Environment: production})
	entries, entriesErr := controlv1.NewAuditServiceClient(w.conns["server"]).WatchEntries(ctx, &controlv1.WatchEntriesRequest{Environment: production})
	streams := map[string]stream{"WatchRelays": opened(relays.Recv, relaysErr), "WatchEntries": opened(entries.Recv, entriesErr)}
	if _, err := streams["WatchRelays"].next(); err != nil {
		t.Fatal(err)
	}
	next := who.GetIdentity()
	next.Disabled = true
	if _, err := controlv1.NewIdentityServiceClient(w.conns["server"]).UpdateIdentity(w.as(t, "administrator"), &controlv1.UpdateIdentityRequest{
		Identity: next, BaseRevision: who.GetRevision(), Reason: "left",
	}); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, w, streams)
	if code := w.list(ctx); code != codes.Unauthenticated {
		t.Errorf("a call: %v", code)
	}
}

// clientRules asks with a client's key for all that tells of rules.
func clientRules(t *testing.T, w *world) {
	ctx, relay := w.as(t, "sdk-client"), w.conns["relay"]
	flagdSync, syncErr := flagdsyncv1.NewFlagSyncServiceClient(relay).SyncFlags(ctx, &flagdsyncv1.SyncFlagsRequest{})
	for name, ask := range map[string]func() error{
		"sync at the server": func() error { _, err := follow(ctx, w.conns["server"]).next(); return err },
		"sync at the relay":  func() error { _, err := follow(ctx, relay).next(); return err },
		"flagd's sync":       func() error { _, err := opened(flagdSync.Recv, syncErr).next(); return err },
		"flagd's FetchAll": func() error {
			_, err := flagdsyncv1.NewFlagSyncServiceClient(relay).FetchAllFlags(ctx, &flagdsyncv1.FetchAllFlagsRequest{})
			return err
		},
		"GetFlag": func() error {
			_, err := controlv1.NewFlagServiceClient(w.conns["server"]).GetFlag(ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: canaryFlag})
			return err
		},
		"what others counted": func() error { return w.report(ctx) },
	} {
		if code := w.heard(ask()); code != codes.PermissionDenied && code != codes.Unauthenticated {
			t.Errorf("%s: %v", name, code)
		}
	}
	all, err := evaluationv1.NewEvaluationServiceClient(relay).EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{})
	if err != nil {
		t.Fatal(err)
	}
	told := protojson.Format(all)
	for _, path := range []string{"/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/shown", "/ofrep/v1/evaluate/flags/" + canaryFlag, "/flagd.evaluation.v1.Service/ResolveAll"} {
		_, body := w.http(t, http.MethodPost, w.relay.HTTP, path, "{}", "Authorization", "Bearer "+w.secrets["sdk-client"])
		told += strings.ReplaceAll(body, path[strings.LastIndexByte(path, '/')+1:], "") // it may quote what was asked
	}
	if !strings.Contains(told, "shown") {
		t.Errorf("it hears nothing at all: %s", told)
	}
	for _, secret := range []string{canary, canaryFlag} {
		if strings.Contains(told, secret) {
			t.Errorf("it hears of %s: %s", secret, told)
		}
	}
}

func (w *world) report(ctx context.Context) error {
	_, err := telemetryv1.NewTelemetryServiceClient(w.conns["relay"]).Report(ctx, &telemetryv1.ReportRequest{
		Sender: &telemetryv1.Sender{InstanceId: "i", BootId: uuid.NewString(), Sequence: 1},
	})
	return err
}

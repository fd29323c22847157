package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/roletable"
	"github.com/tidegate/tidegate/internal/rpc"
)

// permissionsPage is made of the calls of the tests below, and of those of the relay's TestRoles.
const permissionsPage = "../docs/permissions.md"

var update = flag.Bool("update", false, "write what comes of the calls into docs/permissions.md")

// TestPermissionsAreComplete: every method that is served has its permission, and no other.
func TestPermissionsAreComplete(t *testing.T) {
	r := start(t, Options{})
	permitted := map[string]bool{}
	for method := range permissions {
		permitted[method] = true
	}
	roletable.Missing(t, roletable.Served(r.server.rpc.GRPC), permitted)
}

// everybody are the columns of the tables, in their order: nobody, identities by their roles, keys
// by theirs. Each presents what it has in the metadata of its context.
func everybody(a *asking) (names []string, callers map[string]context.Context) {
	a.t.Helper()
	callers = map[string]context.Context{"nobody": a.t.Context(), "administrator": a.admin}
	names = []string{"nobody"}
	for _, r := range []accessv1.Role{accessv1.Role_ROLE_VIEWER, accessv1.Role_ROLE_EDITOR, accessv1.Role_ROLE_OPERATOR} {
		name := strings.ToLower(roleWord(r))
		names = append(names, name)
		callers[name], _ = a.service(name, role(r))
	}
	names = append(names, "administrator")
	for _, r := range []accessv1.Role{accessv1.Role_ROLE_RELAY, accessv1.Role_ROLE_SDK_SERVER, accessv1.Role_ROLE_SDK_CLIENT} {
		name := strings.ToLower(strings.ReplaceAll(roleWord(r), "_", "-"))
		names = append(names, name)
		made, err := controlv1.NewKeyServiceClient(a.conn).CreateKey(a.admin, &controlv1.CreateKeyRequest{
			Name: name, Environments: []string{"production"}, Role: r, Reason: "test",
		})
		if err != nil {
			a.t.Fatal(err)
		}
		callers[name] = presenting(a.t.Context(), made.GetSecret())
		a.eventually("the server knows the key", func() bool {
			_, there := a.server.replicas.Replica("production").Snapshot().Item(syncv1.Kind_KIND_KEY, made.GetKey().GetKey().GetId())
			return there
		})
	}
	return names, callers
}

// byKeyRequest is what is asked where a key decides.
func byKeyRequest(t *testing.T, method, caller string) proto.Message {
	t.Helper()
	switch method {
	case syncv1.SyncService_Stream_FullMethodName:
		return &syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
			Protocol: 1, InstanceId: caller, BootId: "b", Path: []string{caller}, Scopes: []*syncv1.Scope{{Environment: "production"}},
		}}}
	case telemetryv1.CollectorService_Push_FullMethodName:
		return &telemetryv1.PushRequest{Batch: &telemetryv1.Batch{
			Environment: "production", Sender: &telemetryv1.Sender{InstanceId: caller, BootId: caller, Sequence: 1}, Tally: &telemetryv1.Tally{},
		}}
	}
	t.Fatalf("%s goes by keys: say here what it is asked", method)
	return nil
}

// codeOf calls a method with an empty request, and returns what came of it.
func codeOf(ctx context.Context, t *testing.T, conn *grpc.ClientConn, method string) codes.Code {
	t.Helper()
	_, code := roletable.Call(ctx, t, conn, method, roletable.Request(t, method, nil))
	return code
}

// cellOf calls a method over gRPC, and tells what came of it.
func (a *asking) cellOf(ctx context.Context, method, caller string) string {
	a.t.Helper()
	if !permissions[method].byKey {
		return roletable.Cell(codeOf(ctx, a.t, a.conn, method))
	}
	var code codes.Code
	a.eventually("somebody leads, who answers", func() bool {
		_, code = roletable.Call(ctx, a.t, a.conn, method, byKeyRequest(a.t, method, caller))
		return code != codes.Unavailable
	})
	return roletable.Cell(code)
}

// TestRoles calls every method as every role, with a request that names nothing, over gRPC and
// over HTTP. What comes of it must be the same, and what docs/permissions.md says.
func TestRoles(t *testing.T) {
	a := newAsking(t)
	names, callers := everybody(a)
	table := roletable.Table{
		Title: "Methods of a control server", Roles: names, First: "method",
		Head: "Over gRPC and, but for those of gRPC itself, sync and the collector, over HTTP: each called as every role,\nwith a request that names nothing, and so demands everything. The last three are keys, of `production`.",
	}
	for _, method := range slices.Sorted(maps.Keys(permissions)) {
		cells := make([]string, 0, len(names))
		for _, name := range names {
			cell := a.cellOf(callers[name], method, name)
			for _, how := range []string{http.MethodPost, http.MethodGet} {
				if got, served := a.overHTTP(callers[name], how, method); served && got != cell {
					t.Errorf("%s %s as %s: %q, over gRPC %q", how, method, name, got, cell)
				}
			}
			cells = append(cells, cell)
		}
		table.Row(method[1:], cells...)
	}
	table.Check(t, permissionsPage, *update)
}

// overHTTP calls a method with an empty request in JSON; served is false where it is not, or not
// with that verb.
func (a *asking) overHTTP(ctx context.Context, verb, method string) (cell string, served bool) {
	a.t.Helper()
	m := roletable.Method(a.t, method)
	stream := m.IsStreamingClient() || m.IsStreamingServer()
	target, body, kind := a.url(method), []byte("{}"), "application/json"
	if verb == http.MethodGet {
		o, _ := m.Options().(*descriptorpb.MethodOptions)
		if stream || o.GetIdempotencyLevel() != descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
			return "", false
		}
		target += "?" + url.Values{"connect": {"v1"}, "encoding": {"json"}, "message": {"{}"}}.Encode()
		body = nil
	}
	if stream {
		body, kind = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...), "application/connect+json"
	}
	q, err := http.NewRequestWithContext(ctx, verb, target, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	q.Header.Set("Content-Type", kind)
	if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get("authorization")) > 0 {
		q.Header["Authorization"] = md.Get("authorization")
	}
	resp, err := a.http.Do(q)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain"):
		return "", false
	case !stream || resp.StatusCode != http.StatusOK:
		return roletable.HTTPCell(resp.StatusCode), true
	}
	return streamCell(a.t, resp.Body), true
}

// streamCell is what the first message of a stream over HTTP tells: an answer, or why there is none.
func streamCell(t *testing.T, r io.Reader) string {
	t.Helper()
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	const last = 2
	if head[0]&last == 0 {
		return roletable.Yes
	}
	var end struct{ Error struct{ Code string } }
	if err := json.NewDecoder(io.LimitReader(r, int64(binary.BigEndian.Uint32(head[1:])))).Decode(&end); err != nil {
		t.Fatal(err)
	}
	switch end.Error.Code {
	case "unauthenticated":
		return roletable.Who
	case "permission_denied":
		return roletable.No
	}
	return roletable.Yes
}

// TestRoutes asks for every route of the HTTP address as every role. The address serves nothing
// else: it is made of that table.
func TestRoutes(t *testing.T) {
	a := newAsking(t)
	names, callers := everybody(a)
	table := roletable.Table{
		Title: "Routes of a control server's HTTP address", Roles: names, First: "route",
		Head: "What answers without anybody being asked: the dashboard, which has no data of its own; pages of logging in,\nwhich ask themselves; and what probes need.\nEvery method above is at `POST /SERVICE/METHOD`, with the same permission.",
	}
	services := map[string]bool{}
	for _, r := range a.server.routes() {
		if r.admits == perMethod {
			services[strings.Trim(r.pattern, "/")] = true
			continue
		}
		verb, path, ok := strings.Cut(r.pattern, " ")
		if r.pattern == "/" { // beside services, which have no method either
			verb, path, ok = http.MethodGet, "/", true
		}
		if !ok || r.admits != anybody {
			t.Errorf("route %q: it has no method, or nobody is admitted", r.pattern)
			continue
		}
		cells := make([]string, 0, len(names))
		for _, name := range names {
			cells = append(cells, a.routeCell(callers[name], verb, path))
		}
		table.Row(verb+" "+path, cells...)
	}
	for service := range a.server.rpc.GRPC.GetServiceInfo() {
		if !services[service] {
			t.Errorf("service %s has no route", service)
		}
	}
	table.Check(t, permissionsPage, *update)
}

func (a *asking) routeCell(ctx context.Context, verb, path string) string {
	a.t.Helper()
	q, err := http.NewRequestWithContext(ctx, verb, a.url(path), strings.NewReader("{}"))
	if err != nil {
		a.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get("authorization")) > 0 {
		q.Header["Authorization"] = md.Get("authorization")
	}
	client := *a.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(q)
	if err != nil {
		a.t.Fatal(err)
	}
	resp.Body.Close()
	// A login of nobody is refused as such; who may try is what is asked here.
	if strings.HasPrefix(path, "/auth/") && resp.StatusCode == http.StatusUnauthorized {
		return roletable.Yes
	}
	return roletable.HTTPCell(resp.StatusCode)
}

// TestRouteWithoutPermission: a route that does not say who may ask for it answers nobody.
func TestRouteWithoutPermission(t *testing.T) {
	w := httptest.NewRecorder()
	route{pattern: "GET /forgotten", handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "told") })}.
		guarded().ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/forgotten"}})
	if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "told") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestMethodWithoutPermission: nor does a method that is not in the table.
func TestMethodWithoutPermission(t *testing.T) {
	a := newAsking(t)
	_, err := (&guard{}).authorize(a.admin, rpc.Call{Method: "/tidegate.control.v1.FlagService/Forgotten"})
	if code := status.Code(err); code != codes.PermissionDenied {
		t.Errorf("%v", err)
	}
}

package relay

import (
	"context"
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/roletable"
	"github.com/tidegate/tidegate/internal/rpc"
)

// permissionsPage is made of the calls of the tests below, and of those of the server's.
const permissionsPage = "../docs/permissions.md"

var update = flag.Bool("update", false, "write what comes of the calls into docs/permissions.md")

// columns of the tables, in their order: nobody, identities by their roles, keys by theirs.
var columns = []string{"nobody", "viewer", "editor", "operator", "administrator", "relay", "sdk-server", "sdk-server with prefixes", "sdk-client"}

// cellsOf is what each column gets of a permission.
var cellsOf = map[permission][]string{
	anybody:   {roletable.Yes, roletable.Yes, roletable.Yes, roletable.Yes, roletable.Yes, roletable.Yes, roletable.Yes, roletable.Yes, roletable.Yes},
	evaluates: {roletable.Who, roletable.No, roletable.No, roletable.No, roletable.No, roletable.Yes, roletable.Yes, roletable.Yes, roletable.Yes},
	follows:   {roletable.Who, roletable.No, roletable.No, roletable.No, roletable.No, roletable.Yes, roletable.Yes, roletable.No, roletable.No},
	inspects:  {roletable.Who, roletable.No, roletable.No, roletable.No, roletable.No, roletable.Yes, roletable.Yes, roletable.No, roletable.No},
	relays:    {roletable.Who, roletable.No, roletable.No, roletable.No, roletable.No, roletable.Yes, roletable.No, roletable.No, roletable.No},
}

// everybody is a relay that requires keys, and who calls it, by column. Of identities a relay knows
// nothing: their secrets are of the same form, and open nothing.
func everybody(t *testing.T) (r *Relay, callers map[string]*visit) {
	t.Helper()
	secrets := map[string]string{}
	for _, role := range []string{"viewer", "editor", "operator", "administrator"} {
		secrets[role], _ = accesskey.New()
	}
	var keys []proto.Message
	add := func(column, secret string, key proto.Message) {
		secrets[column], keys = secret, append(keys, key)
	}
	secret, key := newKey(relayRole)
	add("relay", secret, key)
	secret, key = newKey(serverRole)
	add("sdk-server", secret, key)
	secret, key = newKey(serverRole, "shop")
	add("sdk-server with prefixes", secret, key)
	secret, key = newKey(clientRole)
	add("sdk-client", secret, key)
	_, r, _ = shop(t, nil, keys...)
	callers = map[string]*visit{"nobody": visitor(t, r)}
	for column, secret := range secrets {
		callers[column] = visitor(t, r, "Bearer "+secret)
	}
	return r, callers
}

// TestPermissionsAreComplete: every method that is served has its permission, and no other.
func TestPermissionsAreComplete(t *testing.T) {
	t.Parallel()
	_, r, _ := shop(t, nil)
	permitted := map[string]bool{}
	for method, p := range permissions {
		permitted[method] = p != nobody
	}
	roletable.Missing(t, roletable.Served(r.server.GRPC), permitted)
}

// TestRoles calls every method as everybody. What comes of it must be what its permission says, and
// docs/permissions.md.
func TestRoles(t *testing.T) {
	_, callers := everybody(t)
	table := roletable.Table{
		Title: "Methods of a relay", Roles: columns, First: "method",
		Head: "With `--require-keys`. Without it who presents nothing may do everything; a key that is presented has to be\ngood all the same. A client's key sees flags that are marked for clients, and never a rule, one with prefixes the\nflags that begin so. Those that are not gRPC's own, sync or collectors are served over HTTP, too.",
	}
	for _, method := range slices.Sorted(maps.Keys(permissions)) {
		cells := make([]string, 0, len(columns))
		for _, column := range columns {
			cells = append(cells, callers[column].cellOf(method, column))
		}
		if want := cellsOf[permissions[method]]; !slices.Equal(cells, want) {
			t.Errorf("%s: %q, its permission says %q", method, cells, want)
		}
		table.Row(method[1:], cells...)
	}
	table.Check(t, permissionsPage, *update)
}

// cellOf calls a method for the flag shop, and tells what came of it.
func (v *visit) cellOf(method, caller string) string {
	v.t.Helper()
	var code codes.Code
	eventually(v.t, "answer of "+method, func() bool {
		answer, got := roletable.Call(v.ctx, v.t, v.conn, method, requestOf(v.t, method, caller))
		code = got
		if got == codes.OK {
			code = codeIn(v.t, method, answer)
		}
		return code != codes.Unavailable // the upstream may not take telemetry yet
	})
	return roletable.Cell(code)
}

func requestOf(t *testing.T, method, caller string) proto.Message {
	t.Helper()
	sender := &telemetryv1.Sender{InstanceId: caller, BootId: caller, Sequence: 1}
	switch method {
	case evaluationv1.EvaluationService_EvaluateStream_FullMethodName:
		return &evaluationv1.EvaluateStreamRequest{Id: 1, Request: &evaluationv1.EvaluateRequest{FlagKey: "shop"}}
	case syncv1.SyncService_Stream_FullMethodName:
		return &syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
			Protocol: 1, InstanceId: caller, BootId: "b", Path: []string{caller}, Scopes: []*syncv1.Scope{{Environment: production}},
		}}}
	case telemetryv1.CollectorService_Push_FullMethodName:
		return &telemetryv1.PushRequest{Batch: &telemetryv1.Batch{Environment: production, Sender: sender, Tally: &telemetryv1.Tally{}}}
	case telemetryv1.TelemetryService_Report_FullMethodName:
		return &telemetryv1.ReportRequest{Sender: sender}
	}
	return roletable.Request(t, method, map[string]string{"flag_key": "shop"})
}

// codeIn is what a first answer that is no error tells of one.
func codeIn(t *testing.T, method string, answer proto.Message) codes.Code {
	t.Helper()
	data, err := proto.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	switch method {
	case evaluationv1.EvaluationService_EvaluateStream_FullMethodName:
		a := new(evaluationv1.EvaluateStreamResponse)
		if err := proto.Unmarshal(data, a); err != nil {
			t.Fatal(err)
		}
		return codes.Code(a.GetError().GetCode())
	case syncv1.SyncService_Stream_FullMethodName:
		a := new(syncv1.StreamResponse)
		if err := proto.Unmarshal(data, a); err != nil {
			t.Fatal(err)
		}
		if a.GetGoodbye() != nil {
			return codes.PermissionDenied
		}
	}
	return codes.OK
}

// TestRoutes asks for everything that the HTTP addresses serve beside the methods, as everybody.
func TestRoutes(t *testing.T) {
	r, callers := everybody(t)
	table := roletable.Table{
		Title: "Routes of a relay's HTTP addresses", Roles: columns, First: "route",
		Head: "OFREP with `--require-keys`, on the address of evaluations; and what the management address serves.",
	}
	row := func(base, method, path string, p permission) {
		t.Helper()
		cells := make([]string, 0, len(columns))
		for _, column := range columns {
			v := callers[column]
			q := v.request(method, "", "{}")
			q.URL.Host, q.URL.Path = base, strings.ReplaceAll(path, "KEY", "shop")
			_, err := v.do(q)
			cells = append(cells, roletable.Cell(status.Code(err)))
		}
		if want := cellsOf[p]; !slices.Equal(cells, want) {
			t.Errorf("%s %s: %q, its permission says %q", method, path, cells, want)
		}
		table.Row(method+" "+path, cells...)
	}
	for _, route := range ofrepRoutes {
		path := route.path
		if strings.HasSuffix(path, "/") {
			path += "KEY"
		}
		row(r.HTTPAddr(), route.method, path, route.admits)
	}
	for _, route := range r.managementRoutes() {
		method, path, _ := strings.Cut(route.pattern, " ")
		row(r.ManagementAddr(), method, path, route.admits)
	}
	table.Check(t, permissionsPage, *update)
}

// TestMethodWithoutPermission: a method that is not in the table is nobody's.
func TestMethodWithoutPermission(t *testing.T) {
	t.Parallel()
	_, err := new(evaluationService).authorize(context.Background(), rpc.Call{Method: "/tidegate.evaluation.v1.EvaluationService/Forgotten"})
	if status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
}

// TestIdleStreamIsRevoked: a stream that asks nothing ends all the same when its key is revoked.
func TestIdleStreamIsRevoked(t *testing.T) {
	t.Parallel()
	secret, key := newKey(serverRole)
	p, r, _ := shop(t, nil, key)
	v := visitor(t, r, "Bearer "+secret)
	stream, err := evaluationv1.NewEvaluationServiceClient(v.conn).EvaluateStream(v.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&evaluationv1.EvaluateStreamRequest{Id: 1, Request: &evaluationv1.EvaluateRequest{FlagKey: "shop"}}); err != nil {
		t.Fatal(err)
	}
	if a, err := stream.Recv(); err != nil || a.GetResponse() == nil {
		t.Fatalf("%v, %v", a, err)
	}
	p.delete(production, syncv1.Kind_KIND_KEY, key.GetId())
	if a, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v, %v", a, err)
	}
}

// TestStreamSurvivesARefusal: that one request names an environment which the key does not open is
// in its answer, and ends nothing.
func TestStreamSurvivesARefusal(t *testing.T) {
	t.Parallel()
	secret, key := newKey(serverRole)
	_, r, _ := shop(t, nil, key)
	v := visitor(t, r, "Bearer "+secret)
	stream, err := evaluationv1.NewEvaluationServiceClient(v.conn).EvaluateStream(v.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, environment := range []string{staging, production, staging, production} {
		if err := stream.Send(&evaluationv1.EvaluateStreamRequest{Id: uint64(i), Request: &evaluationv1.EvaluateRequest{FlagKey: "shop", Environment: environment}}); err != nil {
			t.Fatal(err)
		}
		a, err := stream.Recv()
		want := codes.OK
		if environment == staging {
			want = codes.PermissionDenied
		}
		if err != nil || codes.Code(a.GetError().GetCode()) != want {
			t.Errorf("%s: %v, %v", environment, a, err)
		}
	}
}

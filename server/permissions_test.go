package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
)

// TestPermissionsAreComplete: every method that is served has its permission, and no other.
func TestPermissionsAreComplete(t *testing.T) {
	r := start(t, Options{})
	served := map[string]bool{}
	for service, info := range r.server.rpc.GRPC.GetServiceInfo() {
		for _, m := range info.Methods {
			method := "/" + service + "/" + m.Name
			served[method] = true
			if _, ok := permissions[method]; !ok {
				t.Errorf("%s has no permission: say in permissions.go who may call it", method)
			}
		}
	}
	for method := range permissions {
		if !served[method] {
			t.Errorf("%s has a permission, and is not served", method)
		}
	}
}

// methodOf finds a method in the registry of all that is linked.
func methodOf(t *testing.T, full string) protoreflect.MethodDescriptor {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(full[1:], "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MethodDescriptor)
}

// codeOf calls a method with an empty request, and returns what came of it.
func codeOf(ctx context.Context, t *testing.T, conn *grpc.ClientConn, full string) codes.Code {
	t.Helper()
	m := methodOf(t, full)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, answer := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return status.Code(conn.Invoke(ctx, full, request, answer))
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: m.IsStreamingClient()}, full)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err = stream.RecvMsg(answer); errors.Is(err, io.EOF) {
		return codes.OK
	}
	return status.Code(err)
}

// TestRoles calls every method as every role, with a request that names nothing. What comes of
// it must be what docs/permissions.md says, which is made of these calls.
func TestRoles(t *testing.T) {
	a := newAsking(t)
	columns := []string{"nobody"}
	callers := map[string]context.Context{"nobody": t.Context(), "administrator": a.admin}
	for _, r := range []accessv1.Role{accessv1.Role_ROLE_VIEWER, accessv1.Role_ROLE_EDITOR, accessv1.Role_ROLE_OPERATOR} {
		name := strings.ToLower(roleWord(r))
		columns = append(columns, name)
		callers[name], _ = a.service(name, role(r))
	}
	columns = append(columns, "administrator")

	var page strings.Builder
	page.WriteString("| method | " + strings.Join(columns, " | ") + " |\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
	for _, method := range slices.Sorted(maps.Keys(permissions)) {
		if permissions[method].byKey {
			fmt.Fprintf(&page, "| `%s` | by the key that is presented%s |\n", method[1:], strings.Repeat(" |", len(columns)-1))
			continue
		}
		page.WriteString("| `" + method[1:] + "` ")
		for _, c := range columns {
			cell := "yes"
			switch codeOf(callers[c], t, a.conn, method) {
			case codes.Unauthenticated:
				cell = "who?"
			case codes.PermissionDenied:
				cell = "no"
			}
			page.WriteString("| " + cell + " ")
		}
		page.WriteString("|\n")
	}
	const file = "../docs/permissions.md"
	if *update {
		if err := os.WriteFile(file, []byte(permissionsHead+page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	told, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(told) != permissionsHead+page.String() {
		t.Errorf("%s is not what comes of the calls; see what changed, and run this with -args -update:\n%s", file, page.String())
	}
}

var update = flag.Bool("update", false, "write docs/permissions.md")

// permissionsHead is the beginning of docs/permissions.md.
const permissionsHead = `# Who may call what

Made by calling every method as every role (server TestRoles; -args -update). A role is granted for
all environments or for some, and for all keys or for those that begin with a prefix; a call is
allowed where one grant covers all that it names. "who?" is UNAUTHENTICATED, "no" PERMISSION_DENIED.

`

package server

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestStreamsByKeyEnd: what a stream is told key by key is by what was granted when it was opened; so
// the rule of each method that streams, and comes to readerOf, ends it when that changes.
func TestStreamsByKeyEnd(t *testing.T) {
	found := streamsByKey(t)
	if len(found) < 2 {
		t.Fatalf("only %v are found: the watches of an environment and of a trail are such", found)
	}
	for _, method := range found {
		if rule, there := permissions[method]; !there || !rule.perKey {
			t.Errorf("%s looks at keys by readerOf and streams: its rule must be perKey", method)
		}
	}
}

// streamsByKey are the methods of this package's services that stream and from which a call of
// readerOf is reached, by the names of what is called.
func streamsByKey(t *testing.T) []string {
	t.Helper()
	calls := map[string][]string{} // of each function, by name
	streams := map[string]string{} // full names of methods, by the function's
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := f.Name.Name
			calls[name] = append(calls[name], called(f)...)
			if method := streamed(f); method != "" {
				streams[name] = method
			}
		}
	}
	var found []string
	for name, method := range streams {
		if reaches(calls, name, "readerOf", map[string]bool{}) {
			found = append(found, method)
		}
	}
	return found
}

// called are the names of what a function calls.
func called(f *ast.FuncDecl) (names []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			switch of := call.Fun.(type) {
			case *ast.Ident:
				names = append(names, of.Name)
			case *ast.SelectorExpr:
				names = append(names, of.Sel.Name)
			}
		}
		return true
	})
	return names
}

// streamed is the full name of the control API's method that a function serves, if it streams.
func streamed(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Type.Params.List) != 2 {
		return ""
	}
	service, ok := f.Recv.List[0].Type.(*ast.Ident)
	stream, generic := f.Type.Params.List[1].Type.(*ast.IndexExpr)
	if !ok || !generic {
		return ""
	}
	if of, ok := stream.X.(*ast.SelectorExpr); !ok || of.Sel.Name != "ServerStreamingServer" {
		return ""
	}
	return "/tidegate.control.v1." + strings.ToUpper(service.Name[:1]) + service.Name[1:] + "/" + f.Name.Name
}

func reaches(calls map[string][]string, from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, next := range calls[from] {
		if reaches(calls, next, to, seen) {
			return true
		}
	}
	return false
}

// TestTrailWatchedWithLess: a watch of a trail ends when what its caller was granted gets less, though
// they may still open it.
func TestTrailWatchedWithLess(t *testing.T) {
	a := newAsking(t)
	a.makeOff("shop.a")
	team, made := a.service("team", of(accessv1.Role_ROLE_VIEWER, "pay."), of(accessv1.Role_ROLE_VIEWER, "shop."))
	ctx, cancel := context.WithTimeout(team, time.Minute)
	t.Cleanup(cancel)
	watch, err := controlv1.NewAuditServiceClient(a.conn).WatchEntries(ctx, &controlv1.WatchEntriesRequest{
		Environment: "production", Filter: &controlv1.EntryFilter{KeyPrefix: "pay."},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil { // it is open
		t.Fatal(m, err)
	}
	identity := made.GetIdentity().GetIdentity()
	identity.Grants = identity.GetGrants()[:1]
	if _, err := a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{
		Identity: identity, BaseRevision: made.GetIdentity().GetRevision(), Reason: "another team's",
	}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), errGrantsChanged.Error()) {
		t.Errorf("it ended with %v", err)
	}
}

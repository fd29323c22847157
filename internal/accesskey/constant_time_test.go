package accesskey

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// secretive are names of what a caller presents to prove something, and of what is kept of it.
var secretive = regexp.MustCompile(`(?i)secret|token|hash|challenge|verifier|password|nonce`)

// comparing are functions that take longer the more of two texts is alike.
var comparing = map[string]bool{
	"bytes.Equal": true, "bytes.Compare": true, "bytes.HasPrefix": true, "slices.Equal": true,
	"strings.EqualFold": true, "strings.Compare": true, "reflect.DeepEqual": true,
}

// notSecret are comparisons of what has such a name and proves nothing, with the reason.
var notSecret = map[string]string{
	"info.Subject != token.Subject":   "both are of the provider, and no secret",
	"strings.Compare(a.hash, b.hash)": "sessions are sorted",
	"now != secret":                   "a process compares its own secret with the one that it had before",
}

// TestSecretsAreComparedInConstantTime: wherever callers are told apart by what they present, that
// is looked up by a hash, or compared as a whole, in a time that tells nothing of how much was
// right. How long calls take is nothing that a test could tell reliably; what they are made of is.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	met := map[string]bool{}
	for _, dir := range []string{
		"server", "server/openid", "controlplane/identity", "controlplane/session", "controlplane/fleet",
		"internal/accesskey", "internal/hub", "internal/uplink", "internal/rpc", "relay",
	} {
		files := token.NewFileSet()
		ours := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
		packages, err := parser.ParseDir(files, filepath.Join("..", "..", dir), ours, 0) //nolint:staticcheck // no types are needed
		if err != nil || len(packages) == 0 {
			t.Fatalf("%s: %d packages, %v", dir, len(packages), err)
		}
		for _, p := range packages {
			ast.Inspect(p, func(n ast.Node) bool {
				text, suspect := suspicious(files, n)
				if !suspect {
					return true
				}
				if _, known := notSecret[text]; known {
					met[text] = true
				} else {
					t.Errorf("%s: %s: compare it with subtle.ConstantTimeCompare, or say here why it is no secret", files.Position(n.Pos()), text)
				}
				return true
			})
		}
	}
	for text := range notSecret {
		if !met[text] {
			t.Errorf("%s is nowhere any more", text)
		}
	}
}

// suspicious tells whether a node compares what may be a secret with something that is not known
// when it is compiled.
func suspicious(files *token.FileSet, n ast.Node) (text string, suspect bool) {
	var operands []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		if !comparing[textOf(files, n.Fun)] {
			return "", false
		}
		operands = n.Args
	case *ast.BinaryExpr:
		if n.Op != token.EQL && n.Op != token.NEQ || constant(n.X) || constant(n.Y) {
			return "", false
		}
		operands = []ast.Expr{n.X, n.Y}
	}
	for _, o := range operands {
		if secretive.MatchString(textOf(files, o)) {
			return textOf(files, n), true
		}
	}
	return "", false
}

// constant: a literal, nil, or a length, which every secret has in common.
func constant(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.BasicLit:
		return true
	case *ast.CallExpr:
		f, ok := x.Fun.(*ast.Ident)
		return ok && f.Name == "len"
	case *ast.Ident:
		return x.Name == "nil" || x.Name == "true" || x.Name == "false"
	}
	return false
}

func textOf(files *token.FileSet, n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, files, n); err != nil {
		return fmt.Sprint(err)
	}
	return b.String()
}

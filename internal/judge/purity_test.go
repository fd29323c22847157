package judge

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPure: nothing that has a clock, I/O, a log or chance is imported or called, there are no
// goroutines, and what verdicts are made of calls no function whose last bit depends on the
// machine.
func TestPure(t *testing.T) {
	t.Parallel()
	const module = "github.com/tidegate/tidegate/"
	allowed := []string{
		"cmp", "errors", "fmt", "maps", "math", "slices", "strconv", "strings", "time",
		"google.golang.org/protobuf/proto", "google.golang.org/protobuf/types/known/durationpb", "google.golang.org/protobuf/types/known/timestamppb",
		module + "internal/guardrail", module + "gen/go/tidegate/rollout/v1", module + "gen/go/tidegate/telemetry/v1",
	}
	banned := map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
		"math": {"Log", "Log2", "Log10", "Log1p", "Exp", "Exp2", "Expm1", "Pow", "FMA", "Cbrt", "Hypot"},
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	fset, files := token.NewFileSet(), 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files++
		for _, i := range f.Imports {
			if name, _ := strconv.Unquote(i.Path.Value); !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s", e.Name(), name)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(banned[x.Name], n.Sel.Name) {
					t.Errorf("%s: %s.%s", fset.Position(n.Pos()), x.Name, n.Sel.Name)
				}
			case *ast.GoStmt, *ast.SelectStmt:
				t.Errorf("%s: a goroutine", fset.Position(n.Pos()))
			}
			return true
		})
	}
	if files < 10 {
		t.Errorf("%d files were checked", files)
	}
}

// TestNoFusedMultiplyAdd reads what the compiler makes of the package for an architecture
// that fuses products and sums where it may: decisions are replayed bit for bit, figures that
// are only shown included.
func TestNoFusedMultiplyAdd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles for arm64")
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-S", ".")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "FMULD") {
		t.Fatal("the compiler's output has no products: is it assembly?")
	}
	fused := regexp.MustCompile(`(\w+\.go:\d+)\)\s+(FN?M(?:ADD|SUB)[SD])`)
	for _, m := range fused.FindAllStringSubmatch(string(out), -1) {
		t.Errorf("%s: %s: write float64(x*y) + z", m[1], m[2])
	}
}

package guardrail

import (
	"fmt"
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

// pure are the functions of package math that give the same bits on every architecture.
var pure = []string{
	"Abs", "Ceil", "Floor", "Frexp", "Inf", "IsInf", "IsNaN", "Ldexp", "Log2E", "Ln2", "NaN", "Pi", "Sqrt", "Sqrt2",
}

// TestPure: the package imports nothing that has a clock, I/O or a log, and calls nothing
// whose last bit depends on the machine.
func TestPure(t *testing.T) {
	t.Parallel()
	allowed := []string{"cmp", "errors", "fmt", "math", "math/bits", "slices"}
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
				t.Errorf("%s imports %s: only %v are pure", e.Name(), name, allowed)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "math" && !slices.Contains(pure, n.Sel.Name) {
					t.Errorf("%s: math.%s may differ between architectures", fset.Position(n.Pos()), n.Sel.Name)
				}
			case *ast.MapType, *ast.GoStmt, *ast.SelectStmt:
				t.Errorf("%s: no maps, whose order varies, and no goroutines", fset.Position(n.Pos()))
			}
			return true
		})
	}
	if files == 0 {
		t.Error("no file was checked")
	}
}

// TestNoFusedMultiplyAdd reads what the compiler makes of the package for an architecture
// that fuses products and sums where it may.
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
	var lines []string
	for _, m := range fused.FindAllStringSubmatch(string(out), -1) {
		lines = append(lines, fmt.Sprintf("%s: %s", m[1], m[2]))
	}
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		t.Errorf("%s: write float64(x*y) + z", line)
	}
}

package fault

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/shipped"
)

const root = "../.."

// TestNothingIsLeft: a binary as it ships knows nothing of this package.
func TestNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	if err := shipped.Build(t.Context(), root, dir, ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tidegate", "tidegate-relay"} {
		binary, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range slices.Concat([]string{Variable}, Points(), Bugs) {
			if bytes.Contains(binary, []byte(word)) {
				t.Errorf("%s contains %q", name, word)
			}
		}
	}
}

var (
	points = regexp.MustCompile(`fault\.Point\(fault\.(\w+)\)`)
	bugs   = regexp.MustCompile(`fault\.Planted\("([^"]*)"\)`)
	use    = regexp.MustCompile(`fault\.(Point|Planted)\(`)
)

// TestEachIsThere: what can be asked for is there, a point in one place, and there is
// nothing else. A bug may take several places: what one of them lets through, another finds.
func TestEachIsThere(t *testing.T) {
	declared, err := os.ReadFile("fault.go")
	if err != nil {
		t.Fatal(err)
	}
	var wanted []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) += "\w+/[a-z-]+"$`).FindAllSubmatch(declared, -1) {
		wanted = append(wanted, string(m[1]))
	}
	if len(wanted) != len(Points()) {
		t.Errorf("%d points are declared, %d are those of a server or a relay", len(wanted), len(Points()))
	}
	found := make(map[string]int)
	uses := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "fault" || d.Name() == "node_modules") {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		uses += len(use.FindAll(source, -1))
		for _, m := range slices.Concat(points.FindAllSubmatch(source, -1), bugs.FindAllSubmatch(source, -1)) {
			found[string(m[1])]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range wanted {
		if found[name] != 1 {
			t.Errorf("%s is in %d places in the code, want one", name, found[name])
		}
		uses -= found[name]
	}
	for _, name := range Bugs {
		if found[name] == 0 {
			t.Errorf("%s is nowhere in the code", name)
		}
		uses -= found[name]
	}
	if uses != 0 {
		t.Errorf("%d uses are not of a point or bug that is declared here", uses)
	}
}

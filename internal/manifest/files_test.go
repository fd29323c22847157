package manifest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree makes files (with a word in them), folders (names that end in a slash) and links
// (NAME -> TARGET).
func tree(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		name, target, link := strings.Cut(name, " -> ")
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o700)
		default:
			err = os.WriteFile(path, []byte("x"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path string
		tree       []string
		want       []string
		err        string
	}{
		{name: "a file, whatever its name", path: ".hidden.txt", tree: []string{".hidden.txt", "b.yaml"}, want: []string{".hidden.txt"}},
		{
			name: "a folder", tree: []string{"b.yml", "a/deep/x.json", "c.yaml", "README.md", "c.yaml~", "d.yaml.orig"},
			want: []string{"a/deep/x.json", "b.yml", "c.yaml"},
		},
		{name: "hidden ones", tree: []string{"a.yaml", ".b.yaml", ".git/c.yaml", ".#a.yaml -> nobody@nowhere"}, want: []string{"a.yaml"}},
		{name: "a folder that is called as a file is", tree: []string{"a.yaml/b.yaml"}, want: []string{"a.yaml/b.yaml"}},
		{name: "a mounted ConfigMap", tree: []string{
			"..2026_11_26/flags.yaml", "..2026_11_26/team/more.yaml", "..data -> ..2026_11_26",
			"flags.yaml -> ..data/flags.yaml", "team -> ..data/team",
		}, want: []string{"flags.yaml", "team/more.yaml"}},
		{name: "a folder that is a link", path: "current", tree: []string{"v1/a.yaml", "current -> v1"}, want: []string{"current/a.yaml"}},
		{name: "links that lead back", tree: []string{"a/b/c.yaml", "a/b/up -> ..", "a/self -> ."}, want: []string{"a/b/c.yaml"}},
		{name: "nothing there", path: "missing", err: "no such file"},
		{
			name: "nothing in it", path: "empty", tree: []string{"empty/.hidden.yaml", "empty/README.md"},
			err: "empty holds no file *.yaml, *.yml or *.json",
		},
		{name: "a link to nothing", tree: []string{"a.yaml", "b.yaml -> gone.yaml"}, err: "b.yaml: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, c.tree...)
			found, err := Find(filepath.Join(root, c.path))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("found %v, %v, want an error with %q", found, err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				name, err := filepath.Rel(root, f.Path)
				if err != nil || !f.Info.Mode().IsRegular() {
					t.Errorf("%s: %v, mode %s", f.Path, err, f.Info.Mode())
				}
				got = append(got, filepath.ToSlash(name))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "large.yaml")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(MaxFileBytes + 1); err != nil { // sparse
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "large.yaml is larger than 64 MiB") {
		t.Errorf("got %v", err)
	}
	data, err := Read("<stdin>", strings.NewReader("flags"))
	if string(data) != "flags" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
}

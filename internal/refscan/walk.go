package refscan

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/internal/gitignore"
)

const ignoreFile = ".gitignore"

// repositories are folders in which version control keeps what is its own.
var repositories = []string{".git", ".hg", ".svn", ".jj"}

// walk finds the files below a folder. Symbolic links are not followed, as git does not.
type walk struct {
	root string
	// exclude counts for more than what the folders' own files say.
	exclude *gitignore.Patterns
	files   chan<- string
	done    <-chan struct{}
	unread  []string
}

// layer is the patterns of one folder.
type layer struct {
	patterns *gitignore.Patterns
	// above is the path from the folder of the patterns to the root, if it is above the root.
	above string
	// folder of the patterns, relative to the root, if it is not.
	folder string
}

// run sends the names of all files, relative to the root.
func (w *walk) run() { w.folder(".", w.outer()) }

func (w *walk) send(name string) bool {
	select {
	case w.files <- name:
		return true
	case <-w.done:
		return false
	}
}

// outer reads the patterns of the folders above the root, up to the repository's. They count
// for less than those further down.
func (w *walk) outer() []layer {
	root, err := filepath.Abs(w.root)
	if err != nil {
		return nil // there is no working directory: nothing is above
	}
	var layers []layer
	for folder := root; ; folder = filepath.Dir(folder) {
		if folder != root {
			if p := w.patterns(filepath.Join(folder, ignoreFile)); p != nil {
				relative, _ := filepath.Rel(folder, root) // both are absolute
				layers = append(layers, layer{patterns: p, above: filepath.ToSlash(relative)})
			}
		}
		if _, err := os.Lstat(filepath.Join(folder, ".git")); err == nil {
			slices.Reverse(layers)
			return layers
		}
		if folder == filepath.Dir(folder) {
			return nil // no repository: what is above is not of this tree
		}
	}
}

// patterns reads a file of them; nil if there is none.
func (w *walk) patterns(name string) *gitignore.Patterns {
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		w.unread = append(w.unread, err.Error())
		return nil
	}
	return gitignore.Parse(string(data))
}

// folder goes through one folder and those below.
func (w *walk) folder(name string, layers []layer) bool {
	full := filepath.Join(w.root, filepath.FromSlash(name))
	entries, err := os.ReadDir(full)
	if err != nil {
		w.unread = append(w.unread, err.Error())
		return true
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ignoreFile && e.Type().IsRegular() }) {
		if p := w.patterns(filepath.Join(full, ignoreFile)); p != nil && !p.Empty() {
			layers = append(slices.Clip(layers), layer{patterns: p, folder: name})
		}
	}
	for _, entry := range entries {
		below := path.Join(name, entry.Name())
		isFolder := entry.IsDir()
		switch {
		case !isFolder && !entry.Type().IsRegular():
		case isFolder && slices.Contains(repositories, entry.Name()):
		case w.ignored(layers, below, isFolder):
		case isFolder:
			if !w.folder(below, layers) {
				return false
			}
		case !w.send(below):
			return false
		}
	}
	return true
}

// ignored says whether a path is left out: the innermost patterns that say something decide.
func (w *walk) ignored(layers []layer, name string, folder bool) bool {
	if v := w.exclude.Match(name, folder); v != gitignore.Undecided {
		return v == gitignore.Ignored
	}
	for _, l := range slices.Backward(layers) {
		if v := l.patterns.Match(l.relative(name), folder); v != gitignore.Undecided {
			return v == gitignore.Ignored
		}
	}
	return false
}

// relative is a path as the layer's patterns see it.
func (l *layer) relative(name string) string {
	switch {
	case l.above != "":
		return path.Join(l.above, name)
	case l.folder == "" || l.folder == ".":
		return name
	}
	return strings.TrimPrefix(name, l.folder+"/")
}

package filesource

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/replica"
)

// edit is what is done to one file.
type edit struct {
	name   string
	flags  map[string]string
	broken bool
}

// Whatever is done to files, what is served is the last of them that was sound as a
// whole; its revision counts the changes; and a follower that takes each delta is never
// anywhere else.
func TestRandom(t *testing.T) {
	t.Parallel()
	edits := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) edit {
		return edit{
			name: rapid.SampledFrom([]string{"a.yaml", "b.yaml", "sub/c.yml"}).Draw(t, "file"),
			// Keys are often in two files: an error.
			flags: rapid.MapOfN(rapid.SampledFrom([]string{"first", "second", "third", "fourth"}),
				rapid.SampledFrom([]string{"red", "blue", "green"}), 0, 3).Draw(t, "flags"),
			broken: rapid.IntRange(0, 4).Draw(t, "broken") == 4,
		}
	}), 1, 8)
	rapid.Check(t, func(rt *rapid.T) {
		todo := edits.Draw(rt, "edits")
		var err error
		synctest.Test(t, func(t *testing.T) { err = edited(t, todo) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// edited edits the files of a source, and tells what is not as it should be.
func edited(t *testing.T, todo []edit) error {
	dir, err := os.MkdirTemp("", "filesource-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files := map[string]edit{"a.yaml": {name: "a.yaml", flags: map[string]string{"first": "red"}}}
	save(t, dir, files["a.yaml"])
	b := start(t, Options{Paths: []string{dir}})
	defer b.stop()
	follower, changes := b.replica.Subscribe()
	served, revision := merged(files), int64(1)
	for i, e := range todo {
		files[e.name] = e
		save(t, dir, e)
		b.pass(within)

		sound := merged(files)
		if sound != nil && !maps.Equal(served, sound) {
			served, revision = sound, revision+1
		}
		for c := range pending(changes) {
			if follower, err = follower.Apply(c.Delta); err != nil {
				return fmt.Errorf("edit %d: a follower: %w", i, err)
			}
		}
		got := map[string]string{}
		for _, f := range b.replica.Snapshot().Eval().Flags() {
			got[f.Key()] = strings.TrimPrefix(b.serves(f.Key()), f.Key()+"=")
		}
		problem := b.source.State().Err
		switch at := b.cursor(); {
		case (problem == nil) != (sound != nil):
			return fmt.Errorf("edit %d: problem %w, want one: %v", i, problem, sound == nil)
		case !maps.Equal(got, served) || at.Revision != revision:
			return fmt.Errorf("edit %d: serves %v at revision %d, want %v at %d", i, got, at.Revision, served, revision)
		case follower.Cursor() != at:
			return fmt.Errorf("edit %d: a follower is at %s, the source at %s", i, follower.Cursor(), at)
		}
	}
	return nil
}

// merged is what the files say; nil if one of them is broken, a key is in two, or there is
// nothing.
func merged(files map[string]edit) map[string]string {
	all, n := map[string]string{}, 0
	for _, e := range files {
		if e.broken {
			return nil
		}
		maps.Copy(all, e.flags)
		n += len(e.flags)
	}
	if n == 0 || n > len(all) {
		return nil
	}
	return all
}

func save(t *testing.T, dir string, e edit) {
	t.Helper()
	var served []string
	for key, variant := range e.flags {
		served = append(served, key+"="+variant)
	}
	content := flags(served...)
	if len(served) == 0 {
		content = strings.TrimSuffix(content, "\n") + " {}\n"
	}
	if e.broken {
		content += "]"
	}
	// Real time hardly passes between two edits: one in place could leave no trace.
	replace(t, filepath.Join(dir, e.name), content)
}

// pending yields the changes there are by now.
func pending(changes *replica.Subscription) iter.Seq[replica.Change] {
	return func(yield func(replica.Change) bool) {
		for {
			select {
			case <-changes.Changed():
			default:
				return
			}
			if c, _, err := changes.Next(context.Background()); err != nil || !yield(c) {
				return
			}
		}
	}
}

// Evaluations go on while files change, and see one content or another, never a mixture.
func TestConcurrentEvaluation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	colours := []string{"red", "blue", "green"}
	write(t, path, flags("a=red", "b=red"))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Paths: []string{path}})
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for revision := int64(0); ctx.Err() == nil; time.Sleep(time.Millisecond) {
					s := b.replica.Snapshot()
					one, two := s.Eval().Evaluate("a", &eval.Context{}), s.Eval().Evaluate("b", &eval.Context{})
					if one.Variant.Name != two.Variant.Name || s.Cursor().Revision < revision {
						t.Errorf("a is %s, b is %s; revision %d after %d", one.Variant.Name, two.Variant.Name, s.Cursor().Revision, revision)
					}
					revision = s.Cursor().Revision
				}
			})
		}
		for i := range 10 {
			colour := colours[(i+1)%len(colours)]
			write(t, path, flags("a="+colour, "b="+colour))
			b.pass(within)
			b.require(int64(i+2), fmt.Sprintf("a=%s b=%s", colour, colour))
		}
		cancel()
		readers.Wait()
	})
}

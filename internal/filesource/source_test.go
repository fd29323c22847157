package filesource

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// within is how soon a save is shown.
const within = time.Second

// However files are changed, it is shown within a second, at the next revision, and what
// did not change keeps its own.
func TestChanges(t *testing.T) {
	t.Parallel()
	type change func(t *testing.T, dir string)
	for _, c := range []struct {
		name string
		// path is served, of a folder that prepare filled; both files are those by default.
		path    string
		prepare change
		change  change
		want    string
	}{
		{name: "written in place", want: "a=blue b=red", change: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "a.yaml"), flags("a=blue"))
		}},
		{name: "replaced by a rename", want: "a=blue b=red", change: func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "a.yaml"), flags("a=blue"))
		}},
		{name: "replaced by a file of its size and time", want: "a=tan b=red", prepare: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "a.yaml"), strings.Replace(flags("a=red"), "green", "tan", 1))
		}, change: func(t *testing.T, dir string) {
			path := filepath.Join(dir, "a.yaml")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path+".new", strings.Replace(flags("a=tan"), "green", "tan", 1))
			if err := os.Chtimes(path+".new", info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			rename(t, path+".new", path)
		}},
		{name: "deleted and made again", want: "a=blue b=red", change: func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "a.yaml"))
			time.Sleep(rest / 2)
			write(t, filepath.Join(dir, "a.yaml"), flags("a=blue"))
		}},
		{name: "backed up by a rename and made again", want: "a=blue b=red", change: func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, "a.yaml"), filepath.Join(dir, "a.yaml~"))
			write(t, filepath.Join(dir, "a.yaml"), flags("a=blue"))
		}},
		{name: "a file added", want: "a=red b=red c=green", change: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "more", "c.yml"), flags("c=green"))
		}},
		{name: "a file removed", want: "a=FLAG_NOT_FOUND b=red", change: func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "a.yaml"))
		}},
		{name: "JSON", want: "a=red b=red j=on", change: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "j.json"), `{"apiVersion": "tidegate/v1", "flags": {"j":
				{"type": "boolean", "enabled": true, "variants": {"on": true, "off": false}, "default": "on"}}}`)
		}},
		{name: "a ConfigMap updated", path: "mounted", want: "a=blue b=red", prepare: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "mounted", "..1", "a.yaml"), flags("a=red"))
			write(t, filepath.Join(dir, "mounted", "..1", "b.yaml"), flags("b=red"))
			link(t, "..1", filepath.Join(dir, "mounted", "..data"))
			link(t, "..data/a.yaml", filepath.Join(dir, "mounted", "a.yaml"))
			link(t, "..data/b.yaml", filepath.Join(dir, "mounted", "b.yaml"))
		}, change: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "mounted", "..2", "a.yaml"), flags("a=blue"))
			write(t, filepath.Join(dir, "mounted", "..2", "b.yaml"), flags("b=red"))
			link(t, "..2", filepath.Join(dir, "mounted", "..data"))
			remove(t, filepath.Join(dir, "mounted", "..1"))
		}},
		{name: "a link to a folder swapped", path: "current", want: "a=blue b=red", prepare: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "v1", "all.yaml"), flags("a=red", "b=red"))
			link(t, "v1", filepath.Join(dir, "current"))
		}, change: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "v2", "all.yaml"), flags("a=blue", "b=red"))
			link(t, "v2", filepath.Join(dir, "current"))
		}},
		{name: "the folder replaced", path: "d", want: "a=blue b=red", prepare: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "d", "all.yaml"), flags("a=red", "b=red"))
		}, change: func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "d"))
			write(t, filepath.Join(dir, "d", "other.yaml"), flags("a=blue", "b=red"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.path == "" {
				write(t, filepath.Join(dir, "a.yaml"), flags("a=red"))
				write(t, filepath.Join(dir, "b.yaml"), flags("b=red"))
			}
			if c.prepare != nil {
				c.prepare(t, dir)
			}
			synctest.Test(t, func(t *testing.T) {
				b := start(t, Options{Paths: []string{filepath.Join(dir, c.path)}})
				b.require(1, "a=red b=red")
				b.pass(time.Minute)
				c.change(t, dir)
				b.pass(within)
				b.require(2, c.want)
				b.requireProblem("")
				if item, _ := b.replica.Snapshot().Item(syncv1.Kind_KIND_FLAG, "b"); item.ModRevision != 1 {
					t.Errorf("b is of revision %d, and did not change", item.ModRevision)
				}
			})
		})
	}
}

// A change that leaves no trace but in the content is shown a little later.
func TestChangeWithoutTrace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, flags("a=red", "b=blue"))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Paths: []string{path}})
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, flags("a=blue", "b=red"))
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		b.pass(readEvery + within)
		b.require(2, "a=blue b=red")
	})
}

// A change that changes no flag is none.
func TestOnlyFlagsCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), flags("a=red", "b=blue"))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Paths: []string{dir}})
		was := b.cursor()
		write(t, filepath.Join(dir, "a.yaml"), "# a comment\n"+flags("b=blue"))
		write(t, filepath.Join(dir, "moved.yaml"), flags("a=red"))
		b.pass(within)
		if got := b.cursor(); got != was {
			t.Errorf("%s, then %s", was, got)
		}
	})
}

// What is written bit by bit is shown once, when it is whole.
func TestBurst(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, flags("a=red", "b=red"))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Paths: []string{path}})
		whole := flags("a=blue", "b=blue", "c=blue", "d=blue", "e=blue")
		written := ""
		for line := range strings.Lines(whole) {
			written += line // from the third line on, sound as it is
			write(t, path, written)
			b.pass(rest - 50*time.Millisecond)
			b.require(1, "a=red b=red")
			b.requireProblem("")
		}
		b.pass(within)
		b.require(2, "a=blue b=blue c=blue d=blue e=blue")
	})
}

// What is written while it is read is not taken for what was seen.
func TestWrittenWhileRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, flags("a=red"))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Paths: []string{path}})
		b.stop()
		write(t, path, flags("a=blue"))
		b.source.read(time.Now()) // since the last look it was written
		b.require(1, "a=red")
		if !b.source.seen.same(lookAt([]string{path})) {
			t.Error("it is not waited for the new content to be at rest")
		}
	})
}

// Files that find no rest are not read, and it is said, once.
func TestRestless(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, flags("a=red"))
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Paths: []string{path}})
		for i := range 60 {
			write(t, path, flags("a=blue")+strings.Repeat("# more\n", i))
			b.pass(lookEvery)
		}
		b.require(1, "a=red")
		b.requireProblem("the files keep changing")
		if n := b.log.count("the files are not read"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if age := b.replica.Age(); age < patience {
			t.Errorf("age %v", age)
		}
		b.pass(within)
		b.require(2, "a=blue")
		b.requireProblem("")

		again, stop := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(again)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(lookEvery):
					write(t, path, flags("a=blue")+strings.Repeat("# more\n", i))
				}
			}
		}()
		if _, err := Open(t.Context(), Options{Paths: []string{path}, Replica: newReplica()}); err == nil || !strings.Contains(err.Error(), "the files keep changing") {
			t.Errorf("opened with %v", err)
		}
		close(stop)
		<-again
	})
}

// Nothing that is wrong replaces what is served; it is said once, with its place, and
// over when it is mended.
func TestBroken(t *testing.T) {
	t.Parallel()
	const segments = "apiVersion: tidegate/v1\nsegments: {beta: {included: [ann]}}\n"
	members := strings.Replace(flags("m=red"), "default:", "rules: [{id: r, when: [{inSegment: beta}], serve: blue}], default:", 1)
	dependent := strings.Replace(flags("m=red"), "default:", "offVariant: red, prerequisites: [{flag: a, variants: [red]}], default:", 1)
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, a, b string)
		want  string
	}{
		{"no YAML", func(t *testing.T, a, _ string) { write(t, a, "flags: [") }, "a.yaml:1:"},
		{"an unknown field", func(t *testing.T, a, _ string) { write(t, a, flags("a=blue")+"flag: {}\n") }, "a.yaml:4:1: flag: unknown field: did you mean 'flags'?"},
		{"an unknown variant", func(t *testing.T, a, _ string) { replace(t, a, flags("a=pink")) }, `a.yaml:3:84: flags[a].default: "pink" is not a variant`},
		{"emptied", func(t *testing.T, a, _ string) { write(t, a, "") }, "a.yaml:1:1: there is nothing in the file"},
		{"without any flags", func(t *testing.T, a, b string) { write(t, a, "apiVersion: tidegate/v1\n"); remove(t, b) }, "there are no flags and no segments"},
		{"defined twice", func(t *testing.T, _, b string) { write(t, b, flags("a=red")) }, "b.yaml:3:3: flags[a]: is already defined at"},
		{"an unknown segment", func(t *testing.T, _, b string) { write(t, b, members) }, `no segment "beta" in this environment`},
		{"a segment removed", func(t *testing.T, a, b string) {
			write(t, a, flags("a=blue"))
			write(t, b, strings.Replace(segments, "beta", "gone", 1)+"---\n"+members)
		}, `b.yaml:6:110: flags[m].rules[0].when[0].inSegment: there is no segment "beta"`},
		{"a prerequisite removed", func(t *testing.T, a, b string) { write(t, a, flags("x=red")); write(t, b, dependent) }, `there is no flag "a" in this environment`},
		{"the files removed", func(t *testing.T, a, b string) { remove(t, a); remove(t, b) }, "holds no file"},
		{"the folder removed", func(t *testing.T, a, _ string) { remove(t, filepath.Dir(a)) }, "no such file"},
		{"a link to nothing", func(t *testing.T, a, _ string) { remove(t, a); link(t, "nowhere", a) }, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "d")
			first, second := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
			write(t, first, flags("a=red"))
			write(t, second, flags("b=red"))
			synctest.Test(t, func(t *testing.T) {
				b := start(t, Options{Paths: []string{dir}, Registerer: prometheus.NewRegistry()})
				c.spoil(t, first, second)
				const time30 = 30 * time.Second
				b.pass(time30)
				b.require(1, "a=red b=red")
				b.requireProblem(c.want)
				if n := b.log.count("the files are refused"); n != 1 {
					t.Errorf("said %d times", n)
				}
				s := b.source.State()
				if since := time.Since(s.Good); since < time30-within || since > time30+within {
					t.Errorf("last good %v ago", since)
				}
				if age := b.replica.Age(); age < time30-within {
					t.Errorf("age %v", age)
				}
				if m := b.source.metrics; gathered(t, m.refused) != 1 || gathered(t, m.problems) < 1 {
					t.Errorf("refused %v, problems %v", gathered(t, m.refused), gathered(t, m.problems))
				}

				remove(t, first)
				replace(t, first, flags("a=red"))
				write(t, second, flags("b=blue"))
				b.pass(within)
				b.require(2, "a=red b=blue")
				b.requireProblem("")
				if age := b.replica.Age(); age > within {
					t.Errorf("age %v", age)
				}
				if n := gathered(t, b.source.metrics.problems); n != 0 {
					t.Errorf("problems %v", n)
				}
			})
		})
	}
}

package linear

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"
)

// called is a call from one time to another; 0: without an answer.
type called struct {
	from, to int64
	c        Call
	a        Answer
}

func history(calls ...called) *History {
	h := NewHistory()
	for i, c := range calls {
		if c.to == 0 {
			c.to, c.a = forever, Answer{Outcome: Unknown}
		}
		if c.c.Flag == "" {
			c.c.Flag = "a"
		}
		h.calls = append(h.calls, porcupine.Operation{ClientId: i, Input: c.c, Call: c.from, Output: c.a, Return: c.to})
	}
	return h
}

func create(content string) Call { return Call{Op: Create, Content: content} }

func update(base int64, content string) Call { return Call{Op: Update, Base: base, Content: content} }

func done(revision int64) Answer { return Answer{Outcome: Done, Revision: revision} }

func got(revision int64, content string) Answer {
	return Answer{Outcome: Done, Revision: revision, Content: content}
}

func TestCheck(t *testing.T) {
	get := Call{Op: Get}
	on := Call{Op: SetEnabled, Enabled: true}
	created := called{1, 2, create("x"), done(5)}
	for name, tc := range map[string]struct {
		calls []called
		ok    bool
	}{
		"one after the other":           {[]called{created, {3, 4, update(5, "y"), done(7)}, {5, 6, get, got(7, "y")}}, true},
		"at once, one wins":             {[]called{created, {3, 6, update(5, "y"), done(7)}, {4, 5, update(5, "z"), Answer{Outcome: Conflict}}}, true},
		"a lost update":                 {[]called{created, {3, 6, update(5, "y"), done(7)}, {4, 5, update(5, "z"), done(8)}}, false},
		"a stale read":                  {[]called{created, {3, 4, update(5, "y"), done(7)}, {5, 6, get, got(5, "x")}}, false},
		"a read of the future":          {[]called{created, {3, 4, get, got(7, "y")}, {5, 6, update(5, "y"), done(7)}}, false},
		"a read of half a write":        {[]called{created, {3, 4, update(5, "y"), done(7)}, {5, 6, get, got(7, "x")}}, false},
		"unknown, and it happened":      {[]called{created, {3, 0, update(5, "y"), Answer{}}, {5, 6, get, got(9, "y")}}, true},
		"unknown, and it did not":       {[]called{created, {3, 0, update(5, "y"), Answer{}}, {5, 6, get, got(5, "x")}, {7, 8, update(5, "z"), done(6)}}, true},
		"unknown, and comes late":       {[]called{created, {3, 0, update(5, "y"), Answer{}}, {5, 6, get, got(5, "x")}, {7, 8, get, got(6, "y")}}, true},
		"unknown, and comes and goes":   {[]called{created, {3, 0, update(5, "y"), Answer{}}, {5, 6, get, got(6, "y")}, {7, 8, get, got(5, "x")}}, false},
		"unknown, and twice":            {[]called{created, {3, 0, on, Answer{}}, {5, 6, get, got(5, "x")}, {7, 8, Call{Op: SetEnabled}, done(9)}, {9, 10, Call{Op: SetEnabled, Base: 9, Enabled: true}, done(10)}, {11, 12, get, Answer{Outcome: Done, Revision: 12, Content: "x", Enabled: true}}}, false},
		"a revision that goes back":     {[]called{created, {3, 4, update(5, "y"), done(4)}}, false},
		"a refusal without a reason":    {[]called{created, {3, 4, update(5, "y"), Answer{Outcome: Conflict}}}, false},
		"nothing to do":                 {[]called{created, {3, 4, Call{Op: SetEnabled}, done(5)}, {5, 6, update(3, "x"), done(5)}}, true},
		"something to do, but not done": {[]called{created, {3, 4, on, done(5)}}, false},
		"created twice":                 {[]called{created, {3, 4, create("y"), done(6)}}, false},
		"there already":                 {[]called{created, {3, 4, create("y"), Answer{Outcome: Exists}}}, true},
		"not there":                     {[]called{{1, 2, get, Answer{Outcome: NotFound}}, {3, 4, update(4, "y"), Answer{Outcome: NotFound}}}, true},
		"there, and not found":          {[]called{created, {3, 4, get, Answer{Outcome: NotFound}}}, false},
		"deleted": {[]called{
			created,
			{3, 4, Call{Op: Delete, Base: 5}, done(6)},
			{5, 6, get, Answer{Outcome: NotFound}},
			{7, 8, update(5, "y"), Answer{Outcome: Conflict}},
			{9, 10, Call{Op: Delete, Base: 5}, Answer{Outcome: NotFound}},
			{11, 12, create("z"), done(7)},
		}, true},
		"deleted, and still there": {[]called{created, {3, 4, Call{Op: Delete, Base: 5}, done(6)}, {5, 6, get, got(5, "x")}}, false},
		"another flag":             {[]called{created, {3, 4, Call{Op: Create, Flag: "b", Content: "y"}, done(4)}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "linear.html")
			err := history(tc.calls...).Check(time.Minute, file)
			if tc.ok != (err == nil) || err != nil && !errors.Is(err, ErrNotLinearizable) {
				t.Fatalf("ok %v: %v", tc.ok, err)
			}
			if _, err := os.Stat(file); (err == nil) == tc.ok {
				t.Errorf("the picture: %v", err)
			}
		})
	}
}

func TestNothingToCheck(t *testing.T) {
	h := NewHistory()
	h.Call(0, Call{Op: Get, Flag: "a"})
	if err := h.Check(time.Minute, ""); err == nil || h.Len() != 1 {
		t.Errorf("%d calls: %v", h.Len(), err)
	}
}

func TestUndecided(t *testing.T) {
	h := NewHistory()
	for range 40 {
		h.Call(0, Call{Op: SetEnabled, Flag: "a", Enabled: len(h.calls)%2 == 0})
	}
	h.Call(0, create("x"))(done(1))
	h.Call(0, Call{Op: Get})(got(9, "y"))
	if err := h.Check(time.Nanosecond, ""); !errors.Is(err, ErrUndecided) {
		t.Error(err)
	}
}

// TestRandom makes histories by a store that does one call after the other, tells them as
// if they had overlapped, and then breaks a rule.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := NewHistory()
		var now flag
		revision := int64(0)
		for i := range int64(rapid.IntRange(1, 30).Draw(t, "calls")) {
			c := Call{
				Op: rapid.SampledFrom([]Op{Get, Create, Update, SetEnabled, Delete}).Draw(t, "op"), Flag: "a",
				Content: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "content"), Enabled: rapid.Bool().Draw(t, "enabled"),
			}
			if c.Op == Update || c.Op == Delete || rapid.Bool().Draw(t, "based") && c.Op == SetEnabled {
				c.Base = rapid.Int64Range(max(revision-2, 1), revision+1).Draw(t, "base")
			}
			revision += rapid.Int64Range(1, 3).Draw(t, "others")
			next, a := serve(now, c, revision)
			now = next
			o := porcupine.Operation{
				Input: c, Output: a,
				Call: 10*i - rapid.Int64Range(0, 30).Draw(t, "early"), Return: 10*i + rapid.Int64Range(0, 30).Draw(t, "late"),
			}
			if rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
				o.Output, o.Return = Answer{Outcome: Unknown}, forever
			}
			h.calls = append(h.calls, o)
		}
		last := h.calls[len(h.calls)-1].Call + 1000
		if now.exists {
			h.calls = append(h.calls, porcupine.Operation{Input: Call{Op: Get, Flag: "a"}, Output: Answer{Done, now.revision, now.content, now.enabled}, Call: last, Return: last})
		} else {
			h.calls = append(h.calls, porcupine.Operation{Input: Call{Op: Get, Flag: "a"}, Output: Answer{Outcome: NotFound}, Call: last, Return: last})
		}
		if err := h.Check(time.Minute, ""); err != nil {
			t.Fatal(err)
		}
		// No call can have made this.
		h.calls[len(h.calls)-1].Output = Answer{Outcome: Done, Revision: revision + 1, Content: "z"}
		if err := h.Check(time.Minute, os.DevNull); !errors.Is(err, ErrNotLinearizable) {
			t.Fatal(err)
		}
	})
}

// serve is the store, written as its interface tells it.
func serve(now flag, c Call, revision int64) (flag, Answer) {
	changed := func(exists bool, content string, enabled bool) (flag, Answer) {
		return flag{exists: exists, existed: true, revision: revision, content: content, enabled: enabled}, done(revision)
	}
	conflict := c.Base != 0 && c.Base != now.revision
	switch c.Op {
	case Create:
		if now.exists {
			return now, Answer{Outcome: Exists}
		}
		return changed(true, c.Content, c.Enabled)
	case Get, Delete:
		switch {
		case !now.exists:
			return now, Answer{Outcome: NotFound}
		case c.Op == Get:
			return now, Answer{Done, now.revision, now.content, now.enabled}
		case conflict:
			return now, Answer{Outcome: Conflict}
		}
		return changed(false, "", false)
	}
	if !now.exists {
		if now.existed && c.Base != 0 {
			return now, Answer{Outcome: Conflict}
		}
		return now, Answer{Outcome: NotFound}
	}
	content := c.Content
	if c.Op == SetEnabled {
		content = now.content
	}
	if content == now.content && c.Enabled == now.enabled {
		return now, done(now.revision)
	}
	if conflict {
		return now, Answer{Outcome: Conflict}
	}
	return changed(true, content, c.Enabled)
}

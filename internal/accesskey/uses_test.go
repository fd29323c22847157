package accesskey

import (
	"fmt"
	"testing"
	"time"
)

// TestUses: a key is told once a minute while it is used, and not while it is not.
func TestUses(t *testing.T) {
	t.Parallel()
	var u Uses
	at := time.Unix(600, 0)
	took := func(now time.Time, most int) (list []string) {
		for _, k := range u.Take(now, most) {
			list = append(list, fmt.Sprint(k.GetKeyId(), " ", k.GetLast()))
		}
		return list
	}
	for i, step := range []struct {
		note []string
		now  time.Time
		most int
		want string
	}{
		{nil, at, 9, "[]"},
		{[]string{"b", "a", "a"}, at, 9, "[a 10 b 10]"},
		{nil, at.Add(time.Minute), 9, "[]"},
		{[]string{"a"}, at.Add(time.Minute), 9, "[a 11]"},
		{[]string{"a"}, at.Add(90 * time.Second), 9, "[]"}, // told in this minute already
		{nil, at.Add(2 * time.Minute), 9, "[a 12]"},        // and not forgotten
		{[]string{"a", "b", "c"}, at.Add(3 * time.Minute), 2, "[a 13 b 13]"},
		{nil, at.Add(3 * time.Minute), 2, "[c 13]"},
	} {
		for _, id := range step.note {
			u.Note(id)
		}
		if got := fmt.Sprint(took(step.now, step.most)); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// TestNobodyNotes: without uses nothing is noted, and nothing fails.
func TestNobodyNotes(t *testing.T) {
	t.Parallel()
	var u *Uses
	u.Note("a")
	if got := u.Take(time.Now(), 1); got != nil {
		t.Errorf("%v", got)
	}
}

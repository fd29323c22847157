package snapshot_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// disabled is flagItem, switched off.
func disabled(t testing.TB, key string, revision int64) snapshot.Item {
	definition := &flagv1.Flag{}
	if err := proto.Unmarshal(flagItem(t, key, revision, "").Data, definition); err != nil {
		t.Fatal(err)
	}
	definition.Enabled = false
	return snapshot.Item{Kind: flagKind, Key: key, ModRevision: revision, Data: encode(t, definition)}
}

// TestUrgent: what switches a flag off is urgent, however the delta came about, and stays
// so on the wire and merged with others.
func TestUrgent(t *testing.T) {
	base, _ := snapshot.New("production", epoch).Next(1, []snapshot.Item{
		flagItem(t, "on", 1, ""), disabled(t, "off", 1), segmentItem(t, "s", 1),
	}, nil)
	for name, tc := range map[string]struct {
		puts    []snapshot.Item
		deletes []snapshot.ID
		want    bool
	}{
		"switched off":        {[]snapshot.Item{disabled(t, "on", 2)}, nil, true},
		"one of several":      {[]snapshot.Item{flagItem(t, "a", 2, ""), disabled(t, "on", 2), segmentItem(t, "s", 2)}, nil, true},
		"switched on":         {[]snapshot.Item{flagItem(t, "off", 2, "")}, nil, false},
		"off as before":       {[]snapshot.Item{disabled(t, "off", 2)}, nil, false},
		"changed":             {[]snapshot.Item{flagItem(t, "on", 2, "new")}, nil, false},
		"new and off":         {[]snapshot.Item{disabled(t, "new", 2)}, nil, false},
		"broken":              {[]snapshot.Item{brokenItem("on", 2)}, nil, false},
		"deleted":             {nil, []snapshot.ID{flagItem(t, "on", 1, "").ID()}, false},
		"a segment":           {[]snapshot.Item{segmentItem(t, "s", 2)}, nil, false},
		"deleted and put off": {[]snapshot.Item{disabled(t, "on", 2)}, []snapshot.ID{flagItem(t, "on", 1, "").ID()}, true},
	} {
		next, d := base.Next(2, tc.puts, tc.deletes)
		later, quiet := next.Next(3, []snapshot.Item{futureItem("x", 3)}, nil)
		var m snapshot.Merger
		m.Add(d, base.Replaced(d))
		m.Add(quiet, next.Replaced(quiet))
		for way, got := range map[string]bool{
			"next":   d.Urgent,
			"diff":   snapshot.Diff(base, later).Urgent,
			"wire":   travel(t, d.Updates()).Urgent,
			"merged": travel(t, m.Delta().Updates()).Urgent,
		} {
			if got != tc.want {
				t.Errorf("%s, %s: urgent %v", name, way, got)
			}
		}
		if quiet.Urgent {
			t.Errorf("%s: what follows is urgent, too", name)
		}
	}
}

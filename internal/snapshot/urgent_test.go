package snapshot_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
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

// inState is a rollout in a state, with the treatment at a weight.
func inState(t testing.TB, key string, revision int64, state rolloutv1.State, weight uint32) snapshot.Item {
	return snapshot.Item{Kind: syncv1.Kind_KIND_ROLLOUT, Key: key, ModRevision: revision, Data: encode(t, &rolloutv1.Rollout{
		Key: key, FlagKey: "on", Status: &rolloutv1.Status{State: state, Weight: weight},
	})}
}

// TestUrgent: what switches a flag off or shuts a rollout is urgent, however the delta came
// about, and stays so on the wire and merged with others.
func TestUrgent(t *testing.T) {
	base, _ := snapshot.New("production", epoch).Next(1, []snapshot.Item{
		flagItem(t, "on", 1, ""), disabled(t, "off", 1), segmentItem(t, "s", 1),
		inState(t, "runs", 1, rolloutv1.State_STATE_RUNNING, 500), inState(t, "paused", 1, rolloutv1.State_STATE_PAUSED, 500),
		inState(t, "dark", 1, rolloutv1.State_STATE_RUNNING, 0), inState(t, "complete", 1, rolloutv1.State_STATE_COMPLETED, 10_000),
		inState(t, "aborted", 1, rolloutv1.State_STATE_ABORTED, 0),
	}, nil)
	become := func(key string, state rolloutv1.State, weight uint32) []snapshot.Item {
		return []snapshot.Item{inState(t, key, 2, state, weight)}
	}
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

		"rolled back":             {become("runs", rolloutv1.State_STATE_ROLLED_BACK, 0), nil, true},
		"aborted":                 {become("runs", rolloutv1.State_STATE_ABORTED, 0), nil, true},
		"aborted while paused":    {become("paused", rolloutv1.State_STATE_ABORTED, 0), nil, true},
		"rolled back with a flag": {append(become("runs", rolloutv1.State_STATE_ROLLED_BACK, 0), flagItem(t, "on", 2, "new")), nil, true},
		"widened":                 {become("runs", rolloutv1.State_STATE_RUNNING, 2_000), nil, false},
		"paused":                  {become("runs", rolloutv1.State_STATE_PAUSED, 500), nil, false},
		"completed":               {become("runs", rolloutv1.State_STATE_COMPLETED, 10_000), nil, false},
		"aborted with no share":   {become("dark", rolloutv1.State_STATE_ABORTED, 0), nil, false},
		"another of the same key": {become("complete", rolloutv1.State_STATE_RUNNING, 0), nil, false},
		"over as before":          {become("aborted", rolloutv1.State_STATE_ABORTED, 0), nil, false},
		"new and over":            {become("new", rolloutv1.State_STATE_ROLLED_BACK, 0), nil, false},
		"rollout deleted":         {nil, []snapshot.ID{inState(t, "runs", 1, 0, 0).ID()}, false},
		"rollout broken":          {[]snapshot.Item{{Kind: syncv1.Kind_KIND_ROLLOUT, Key: "runs", ModRevision: 2, Data: []byte{0xff}}}, nil, false},
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

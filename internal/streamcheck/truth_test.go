package streamcheck

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/streamlog"
)

const hexFF = `{"counter":1,"random":"00000000000000ff"}`

func TestTruth(t *testing.T) {
	var file bytes.Buffer
	write := WriteTruth(&file)
	put := func(key, value string) Change { return Change{Key: key, Value: []byte(value)} }
	for _, e := range []Entry{
		{Life: 1, Begin: true},
		{Life: 1, Revision: 2, Changes: []Change{put(epochKey, hexFF)}},
		{Life: 1, Revision: 3, Changes: []Change{
			put("/tidegate/v1/c/production/f/a", "1"), put("/tidegate/v1/c/production/s/a", "2"), put("/tidegate/v1/c/staging/k/a", "3"),
			put("/tidegate/v1/c/production/refs", ""), put("/tidegate/v1/c/production/x/a", "4"), put("/tidegate/v1/a/production/f/a/0", "5"),
		}},
		{Life: 1, Revision: 5, Changes: []Change{{Key: "/tidegate/v1/c/production/f/a", Deleted: true}}},
		{Life: 1, Revision: 9},
		{Life: 2, Begin: true, Of: 1, At: 4},
		{Life: 2, Revision: 5, Changes: []Change{put("/tidegate/v1/c/production/f/a", "6")}},
	} {
		if err := write(e); err != nil {
			t.Fatal(err)
		}
	}
	truth, err := ReadTruth(&file)
	if err != nil {
		t.Fatal(err)
	}
	flag, segment := streamlog.Of(1, "a", 3, []byte("1")), streamlog.Of(2, "a", 3, []byte("2"))
	for _, tc := range []struct {
		environment string
		revision    int64
		sum         streamlog.Sum
		lives       int
	}{
		{"production", 2, streamlog.Sum{}, 2},
		{"production", 3, flag.Plus(segment), 2},
		{"production", 4, segment.Plus(flag), 2},
		{"production", 5, segment, 1},
		{"production", 9, segment, 1},
		{"production", 10, segment, 0},
		{"production", 5, segment.Plus(streamlog.Of(1, "a", 5, []byte("6"))), 1},
		{"production", 5, flag.Plus(segment), 0},
		{"production", 1, streamlog.Sum{}, 0},
		{"staging", 4, streamlog.Of(3, "a", 3, []byte("3")), 2},
		{"unknown", 4, streamlog.Sum{}, 2},
	} {
		c := streamlog.Cursor{Epoch: "1-00000000000000ff", Revision: tc.revision, Digest: tc.sum.String()}
		if n := len(truth.having(tc.environment, c)); n != tc.lives {
			t.Errorf("%s at %d: %d lives have %s, want %d", tc.environment, tc.revision, n, tc.sum, tc.lives)
		}
	}
}

func TestTruthRefuses(t *testing.T) {
	begin := `{"life":1,"begin":true}`
	for name, lines := range map[string][]string{
		"no life":        {`{"life":1,"revision":2}`},
		"a gap of lives": {begin, `{"life":3,"begin":true}`},
		"of itself":      {`{"life":1,"begin":true,"of":1}`},
		"back":           {begin, `{"life":1,"revision":5}`, `{"life":1,"revision":4}`},
		"twice":          {begin, `{"life":1,"revision":5}`, `{"life":1,"revision":5,"changes":[{"key":"x"}]}`},
		"a broken epoch": {begin, `{"life":1,"revision":5,"changes":[{"key":"` + epochKey + `","value":"eA=="}]}`},
		"unknown field":  {begin, `{"life":1,"x":5}`},
		"no JSON":        {begin, `x`},
	} {
		if _, err := ReadTruth(strings.NewReader(strings.Join(lines, "\n"))); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

func FuzzReadTruth(f *testing.F) {
	f.Add([]byte(`{"life":1,"begin":true}{"life":1,"revision":2,"changes":[{"key":"/tidegate/v1/c/production/f/a","value":"eA=="}]}{"life":2,"begin":true,"of":1,"at":2}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		truth, err := ReadTruth(bytes.NewReader(data))
		if err == nil {
			truth.having("production", streamlog.Cursor{Revision: 2})
		}
	})
}

package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestChunks(t *testing.T) {
	item := func(i, size int) snapshot.Item {
		return snapshot.Item{Kind: futureKind, Key: fmt.Sprintf("k%04d", i), ModRevision: 1, Data: bytes.Repeat([]byte{'x'}, size)}
	}
	for name, tc := range map[string]struct{ items, size, chunks int }{
		"nothing":     {0, 0, 1},
		"one":         {1, 1000, 1},
		"many small":  {snapshot.ChunkItems*2 + 1, 10, 3},
		"exactly":     {snapshot.ChunkItems, 10, 1},
		"large":       {3, snapshot.ChunkBytes, 3},
		"half a full": {4, snapshot.ChunkBytes / 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var list []snapshot.Item
			for i := range tc.items {
				list = append(list, item(i, tc.size))
			}
			s, d := snapshot.New("production", epoch).Next(1, list, nil)
			chunks := 0
			for u := range d.Updates() {
				if first := chunks == 0; (u.GetBegin() != nil) != first {
					t.Errorf("chunk %d: begin %v", chunks, u.GetBegin())
				}
				chunks++
				if last := chunks == tc.chunks; (u.GetCommit() != nil) != last {
					t.Errorf("chunk %d: commit %v", chunks, u.GetCommit())
				}
				if size, limit := proto.Size(u), snapshot.ChunkBytes+tc.size+1000; size > limit {
					t.Errorf("chunk %d has %d bytes, more than %d", chunks, size, limit)
				}
			}
			if chunks != tc.chunks {
				t.Errorf("%d chunks, want %d", chunks, tc.chunks)
			}
			if got := travel(t, s.Updates()); len(got.Puts) != tc.items {
				t.Errorf("%d items came through, want %d", len(got.Puts), tc.items)
			}
			// Who stops asking gets no more.
			for range d.Updates() {
				break
			}
		})
	}
}

func TestUnchanged(t *testing.T) {
	s, _ := snapshot.New("production", epoch).Next(5, []snapshot.Item{futureItem("a", 5)}, nil)
	later := s.Advance(9)
	var a snapshot.Assembler
	d, done, err := a.Add(later.Unchanged(s.Cursor()))
	if err != nil || !done {
		t.Fatal(done, err)
	}
	got, err := s.Apply(d)
	if err != nil || got.Cursor() != later.Cursor() {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAssemblerRefuses(t *testing.T) {
	empty := snapshot.New("production", epoch)
	s, _ := empty.Next(5, []snapshot.Item{futureItem("a", 5)}, nil)
	_, d := s.Next(6, []snapshot.Item{futureItem("b", 6)}, []snapshot.ID{futureItem("a", 5).ID()})
	full := func() *syncv1.Update { return single(t, s.Full()) }
	delta := func() *syncv1.Update { return single(t, d) }
	none := func() *syncv1.Update { return s.Unchanged(s.Cursor()) }
	open := full()
	open.Commit = nil
	for name, tc := range map[string]struct {
		before *syncv1.Update
		make   func() *syncv1.Update
		spoil  func(*syncv1.Update)
	}{
		"no begin":                {nil, full, func(u *syncv1.Update) { u.Begin = nil }},
		"nothing at all":          {nil, full, func(u *syncv1.Update) { u.Reset() }},
		"begin inside another":    {open, full, func(*syncv1.Update) {}},
		"another environment":     {open, full, func(u *syncv1.Update) { u.Begin, u.Environment = nil, "staging" }},
		"no mode":                 {nil, full, func(u *syncv1.Update) { u.Begin.Mode = 0 }},
		"unknown mode":            {nil, full, func(u *syncv1.Update) { u.Begin.Mode = 9 }},
		"no target":               {nil, full, func(u *syncv1.Update) { u.Begin.Target = nil }},
		"bad target":              {nil, full, func(u *syncv1.Update) { u.Begin.Target.Digest = []byte{1} }},
		"delta without base":      {nil, delta, func(u *syncv1.Update) { u.Begin.Base = nil }},
		"none without base":       {nil, none, func(u *syncv1.Update) { u.Begin.Base = nil }},
		"none between two states": {nil, none, func(u *syncv1.Update) { u.Begin.Base = empty.Cursor().Proto() }},
		"none with a put":         {nil, none, func(u *syncv1.Update) { u.Puts = full().Puts }},
		"none with a delete":      {nil, none, func(u *syncv1.Update) { u.Deletes = delta().Deletes }},
		"full with a delete":      {nil, full, func(u *syncv1.Update) { u.Deletes = delta().Deletes }},
		"commit without cursor":   {nil, full, func(u *syncv1.Update) { u.Commit.Cursor = nil }},
		"commit of another state": {nil, full, func(u *syncv1.Update) { u.Commit.Cursor = empty.Cursor().Proto() }},
		"too large":               {nil, full, func(u *syncv1.Update) { u.Puts[0].Data = make([]byte, 4096) }},
	} {
		t.Run(name, func(t *testing.T) {
			a := snapshot.Assembler{MaxBytes: 4096}
			if tc.before != nil {
				if _, done, err := a.Add(tc.before); done || err != nil {
					t.Fatal(done, err)
				}
			}
			u := tc.make()
			tc.spoil(u)
			if d, done, err := a.Add(u); done || !errors.Is(err, snapshot.ErrMalformed) || len(d.Puts) != 0 {
				t.Fatalf("%v, %v", done, err)
			}
			if a.Open() {
				t.Fatal("something is still staged")
			}
			if _, done, err := a.Add(full()); !done || err != nil {
				t.Errorf("a good update afterwards: %v, %v", done, err)
			}
		})
	}
}

func single(t *testing.T, d snapshot.Delta) *syncv1.Update {
	t.Helper()
	var all []*syncv1.Update
	for u := range d.Updates() {
		all = append(all, u)
	}
	if len(all) != 1 {
		t.Fatalf("%d chunks, want 1", len(all))
	}
	return proto.Clone(all[0]).(*syncv1.Update)
}

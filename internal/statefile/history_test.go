package statefile

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const production = "production"

var testEpoch = snapshot.Epoch{Counter: 1, Random: 42}

// flagItem is a boolean flag of about the given size.
func flagItem(tb interface {
	Helper()
	Fatal(...any)
}, key string, revision int64, size int,
) snapshot.Item {
	tb.Helper()
	data, err := proto.Marshal(&flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Description: fmt.Sprintf("%*d", size, revision),
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
		},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, Key: key, ModRevision: revision, Data: data}
}

// step is one published state and how it came about.
type step struct {
	state *snapshot.Snapshot
	delta snapshot.Delta
}

// history publishes n states after a first full one of some flags: each puts a flag, some
// delete one, and before some the revision advances without a change.
func history(tb testing.TB, epoch snapshot.Epoch, n int) []step {
	tb.Helper()
	var first []snapshot.Item
	for i := range 3 {
		first = append(first, flagItem(tb, fmt.Sprintf("first-%d", i), 2, 20))
	}
	state, _ := snapshot.New(production, epoch).Next(10, first, nil)
	steps := []step{{state, state.Full()}}
	for i := range n {
		if i%3 == 1 {
			state = state.Advance(state.Cursor().Revision + 5)
		}
		revision := state.Cursor().Revision + 1
		var deletes []snapshot.ID
		if i%4 == 3 {
			deletes = []snapshot.ID{{Kind: syncv1.Kind_KIND_FLAG, Key: fmt.Sprintf("flag-%d", i-2)}}
		}
		var delta snapshot.Delta
		state, delta = state.Next(revision, []snapshot.Item{flagItem(tb, fmt.Sprintf("flag-%d", i), revision, 20)}, deletes)
		steps = append(steps, step{state, delta})
	}
	return steps
}

// indexOf finds a state in a history; -1 for none at all. Anything that was not
// published fails the test.
func indexOf(tb testing.TB, steps []step, s *snapshot.Snapshot) int {
	tb.Helper()
	if s == nil {
		return -1
	}
	for i, st := range steps {
		if s.Cursor() == st.state.Cursor() {
			if d := snapshot.Diff(s, st.state); len(d.Puts)+len(d.Deletes) > 0 {
				tb.Fatalf("loaded %s with other items", s.Cursor())
			}
			return i
		}
	}
	tb.Fatalf("loaded a state that was never published: %s", s.Cursor())
	return 0
}

// openMem opens a Dir on a file system in memory, which never retries by itself.
func openMem(tb testing.TB, m memFiles) *Dir {
	tb.Helper()
	return openWith(tb, m, zerolog.Nop(), time.Hour)
}

func openWith(tb testing.TB, m memFiles, logger zerolog.Logger, retry time.Duration) *Dir {
	tb.Helper()
	d := open(m, io.NopCloser(nil), logger, retry)
	tb.Cleanup(func() { _ = d.Close() }) // of a dead file system
	return d
}

func load(tb testing.TB, d *Dir) *snapshot.Snapshot {
	tb.Helper()
	s, _, err := d.Load(production)
	if err != nil {
		tb.Fatalf("load: %v", err)
	}
	return s
}

func appendAll(tb testing.TB, d *Dir, steps []step) {
	tb.Helper()
	for i, s := range steps {
		if err := d.Append(s.state, s.delta); err != nil {
			tb.Fatalf("append %d: %v", i, err)
		}
	}
}

package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func rolloutItem(t testing.TB, key string, revision int64) snapshot.Item {
	return snapshot.Item{
		Kind: syncv1.Kind_KIND_ROLLOUT, Key: key, ModRevision: revision,
		Data: encode(t, &rolloutv1.Rollout{Key: key, FlagKey: fmt.Sprint("flag-", revision)}),
	}
}

// The list of rollouts is that of the items, however the snapshot came about.
func TestRollouts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := snapshot.New("production", epoch)
	for revision := int64(1); revision <= 300; revision++ {
		var puts []snapshot.Item
		var deletes []snapshot.ID
		for range 1 + random.IntN(3) {
			key := fmt.Sprint("k", random.IntN(12))
			switch random.IntN(4) {
			case 0:
				deletes = append(deletes, snapshot.ID{Kind: syncv1.Kind_KIND_ROLLOUT, Key: key})
			case 1:
				puts = append(puts, flagItem(t, key, revision, fmt.Sprint(revision)))
			default:
				puts = append(puts, rolloutItem(t, key, revision))
			}
		}
		before, held := s, slices.Clone(s.Rollouts())
		next, d := s.Next(revision, puts, deletes)
		applied, err := s.Apply(d)
		if err != nil {
			t.Fatal(err)
		}
		var want []snapshot.Item
		for _, i := range items(next) {
			if i.Kind == syncv1.Kind_KIND_ROLLOUT {
				want = append(want, i)
			}
		}
		slices.SortFunc(want, func(a, b snapshot.Item) int { return slices.Compare([]string{a.Key}, []string{b.Key}) })
		for how, got := range map[string]*snapshot.Snapshot{"next": next, "applied": applied} {
			if !slices.EqualFunc(got.Rollouts(), want, same) {
				t.Fatalf("revision %d, %s: %v, want %v", revision, how, got.Rollouts(), want)
			}
		}
		if !slices.EqualFunc(before.Rollouts(), held, same) {
			t.Fatal("a change modified the snapshot before it")
		}
		s = next
	}
}

func same(a, b snapshot.Item) bool {
	return a.ID() == b.ID() && a.ModRevision == b.ModRevision && slices.Equal(a.Data, b.Data)
}

func TestRolloutItem(t *testing.T) {
	r, err := rolloutItem(t, "checkout", 7).Rollout()
	if err != nil || r.GetFlagKey() != "flag-7" {
		t.Errorf("%v, %v", r, err)
	}
	other := rolloutItem(t, "checkout", 7)
	other.Key = "another"
	for name, item := range map[string]snapshot.Item{
		"another's":  other,
		"not usable": {Kind: syncv1.Kind_KIND_ROLLOUT, Key: "checkout", ModRevision: 1, Data: []byte{0xff}},
	} {
		if _, err := item.Rollout(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := other.ID().String(); got != `rollout "another"` {
		t.Error(got)
	}
}

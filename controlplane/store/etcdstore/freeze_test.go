package etcdstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/controlplane"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// TestFreezeAgainstWriters: while people write, somebody freezes. Above the revision of the freeze
// there is nothing in the trail but kill switches, which go on.
func TestFreezeAgainstWriters(t *testing.T) {
	run(t, t.TempDir(), func(ctx context.Context, a *controlplane.Authority, _ *replica.Replica) {
		freezer, err := controlplane.NewFreezer(controlplane.FreezerOptions{Authority: a})
		if err != nil {
			t.Fatal(err)
		}
		const rounds, writers = 5, 6
		for round := range rounds {
			keys := make([]string, writers)
			for i := range keys {
				keys[i] = fmt.Sprintf("f%d-%d", round, i)
			}
			after := freezeWhileWriting(ctx, t, a, freezer, keys)
			killed := 0
			for _, key := range keys {
				history, err := a.ListFlagHistory(ctx, &controlv1.ListFlagHistoryRequest{Environment: "production", FlagKey: key, PageSize: 100})
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range history.GetEntries() {
					switch {
					case e.GetRevision() < after:
					case e.GetAction() == controlv1.Action_ACTION_DISABLED:
						killed++
					default:
						t.Errorf("round %d: %s of %s at revision %d, frozen at %d", round, e.GetAction(), key, e.GetRevision(), after)
					}
				}
			}
			if killed != writers {
				t.Errorf("round %d: %d kill switches of %d", round, killed, writers)
			}
			if _, err := freezer.Lift(ctx, writer, &controlv1.LiftRequest{Reason: "over"}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

var writer = controlplane.Caller{Actor: "t"}

// freezeWhileWriting writes each flag until that is refused, then disables it; meanwhile everything
// is frozen. It returns the revision of that.
func freezeWhileWriting(ctx context.Context, t *testing.T, a *controlplane.Authority, freezer *controlplane.Freezer, keys []string) int64 {
	t.Helper()
	var all, written sync.WaitGroup
	written.Add(len(keys))
	for _, key := range keys {
		all.Go(func() {
			warm := sync.OnceFunc(written.Done)
			defer warm()
			flag := &flagv1.Flag{
				Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
				Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
			}
			made, err := a.CreateFlag(ctx, writer, &controlv1.CreateFlagRequest{Environment: "production", Flag: flag, Reason: "r"})
			if err != nil {
				t.Error(err)
				return
			}
			base := made.GetFlag().GetRevision()
			for i := 0; ; i++ {
				changed := proto.CloneOf(flag)
				changed.Description = fmt.Sprint(i)
				resp, err := a.UpdateFlag(ctx, writer, &controlv1.UpdateFlagRequest{Environment: "production", Flag: changed, BaseRevision: base, Reason: "r"})
				if errors.As(err, new(*controlplane.FrozenError)) {
					break
				}
				if err != nil {
					t.Error(err)
					return
				}
				base = resp.GetFlag().GetRevision()
				if i == 3 {
					warm()
				}
			}
			if _, err := a.SetEnabled(ctx, writer, &controlv1.SetEnabledRequest{Environment: "production", FlagKey: key, Reason: "at once"}); err != nil {
				t.Error(err)
			}
		})
	}
	written.Wait() // they are at it
	frozen, err := freezer.Freeze(ctx, writer, &controlv1.FreezeRequest{Reason: "checkout is down"})
	if err != nil {
		t.Fatal(err)
	}
	all.Wait()
	return frozen.GetRevision()
}

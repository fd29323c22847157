package controlplane

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func TestWriteOutcomes(t *testing.T) {
	f, s := newFixture(t)
	base := f.create(boolFlag("a")).GetFlag().GetRevision() // committed
	disable := &controlv1.SetEnabledRequest{Environment: production, FlagKey: "a", Reason: "r", RequestId: "once"}
	for range 2 { // committed, repeated
		if _, err := f.SetEnabled(f.ctx, alice, disable); err != nil {
			t.Fatal(err)
		}
	}
	f.setEnabled("a", false) // unchanged
	for _, refused := range []string{"a", "missing"} {
		if err := f.delete(refused, base); err == nil { // conflict, refused
			t.Errorf("%s was deleted", refused)
		}
	}
	if _, err := f.apply(&controlv1.ApplyRequest{Flags: flagWrites(boolFlag("b")), ValidateOnly: true}); err != nil { // no write
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"unavailable": fmt.Errorf("x: %w", unavailable(store.ErrClosed)), "failed": errors.New("x"),
	} {
		if got := outcome(nil, err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}

	f.caughtUp()
	_, revision, err := s.Read(f.ctx, store.Key(epochKey))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if err := f.registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if m.GetGauge() != nil {
				got[strings.TrimPrefix(family.GetName(), "tidegate_controlplane_")] = m.GetGauge().GetValue()
				continue
			}
			got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	if want := map[string]float64{
		"committed": 2, "unchanged": 1, "repeated": 1, "conflict": 1, "refused": 1, "unavailable": 0, "failed": 0,
		"applied_revision": float64(revision), "store_reachable": 1,
	}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

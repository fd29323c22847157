package live

import (
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestRolloutSummary: a list has whom to ask, and in what unit a success metric is told.
func TestRolloutSummary(t *testing.T) {
	data, err := proto.Marshal(&rolloutv1.Rollout{
		Key: "checkout-1", Owner: "shop", FlagKey: "checkout", Rule: "beta", Control: "off", Treatment: "on",
		Strategy: rolloutv1.Strategy_STRATEGY_EXPERIMENT, Stages: []*rolloutv1.Stage{{Weight: 5_000}},
		Guardrails: []*rolloutv1.Guardrail{{Name: "errors"}},
		Success:    &rolloutv1.Success{Metric: "basket", Statistic: rolloutv1.Statistic_STATISTIC_MEAN},
		Status:     &rolloutv1.Status{State: rolloutv1.State_STATE_RUNNING, Steps: []*rolloutv1.Step{{Step: 1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &controlv1.RolloutSummary{
		Key: "checkout-1", Owner: "shop", FlagKey: "checkout", Rule: "beta", Control: "off", Treatment: "on",
		Strategy: rolloutv1.Strategy_STRATEGY_EXPERIMENT, Stages: []uint32{5_000}, Guardrails: []string{"errors"},
		SuccessMetric: "basket", SuccessStatistic: rolloutv1.Statistic_STATISTIC_MEAN,
		Status: &rolloutv1.Status{State: rolloutv1.State_STATE_RUNNING}, Revision: 7,
	}
	got := rolloutSummary(snapshot.Item{Kind: syncv1.Kind_KIND_ROLLOUT, Key: "checkout-1", ModRevision: 7, Data: data})
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

package controlplane

import (
	"context"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// ListEnvironments tells what this server has applied of each environment. It does not
// ask the store.
func (a *Authority) ListEnvironments(context.Context, *controlv1.ListEnvironmentsRequest) (*controlv1.ListEnvironmentsResponse, error) {
	resp := &controlv1.ListEnvironmentsResponse{}
	for _, name := range a.replicas.Environments() {
		environment := &controlv1.Environment{Name: name}
		if s := a.replicas.Replica(name).Snapshot(); s != nil {
			environment.Cursor = s.Cursor().Proto()
			environment.FlagCount = int32(s.Eval().FlagCount())
			environment.SegmentCount = int32(s.Eval().SegmentCount())
		}
		resp.Environments = append(resp.Environments, environment)
	}
	return resp, nil
}

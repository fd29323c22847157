//go:build unix

package chaos

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/fault"
)

// TestScheduleKilledAtEveryPoint has the leader kill itself as it applies a change request that
// is due, before its transaction, after it, and before it says so: whoever leads then applies it
// if it was not, and nobody does so twice.
func TestScheduleKilledAtEveryPoint(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	etcd := s.etcd(etcdtest.Options{}).Endpoints()[0]
	one, other := s.server("--etcd-endpoints", etcd), s.server("--etcd-endpoints", etcd)
	conn := bed.Dial(s, one.GRPC)
	requests, flags := controlv1.NewChangeRequestServiceClient(conn), controlv1.NewFlagServiceClient(conn)
	for i, point := range []string{fault.BeforeCommit, fault.AfterCommit, fault.BeforeAnswer} {
		key := fmt.Sprintf("scheduled-%d", i)
		proposed, err := requests.ProposeChangeRequest(s.ctx, &controlv1.ProposeChangeRequestRequest{
			Environment: bed.Environment, Flags: []*controlv1.FlagWrite{{Flag: bed.Counter(key, 1)}}, Reason: point,
			ApplyAt: timestamppb.New(time.Now().Add(8 * time.Second)), // the servers are down before
		})
		if err != nil {
			s.Fatal(err)
		}
		other.Kill()
		s.dieAt(one.Process, point, 1) // it leads: nobody else is there
		other.Start()
		bed.Eventually(s, "it is applied", func() error {
			got, err := requests.GetChangeRequest(s.ctx, &controlv1.GetChangeRequestRequest{
				Environment: bed.Environment, Number: proposed.GetChangeRequest().GetNumber(),
			})
			if state := got.GetChangeRequest().GetState(); err == nil && state != controlv1.ChangeRequest_STATE_APPLIED {
				err = fmt.Errorf("it is %v: %s", state, got.GetChangeRequest().GetClosingReason())
			}
			return err
		})
		history, err := flags.ListFlagHistory(s.ctx, &controlv1.ListFlagHistoryRequest{Environment: bed.Environment, FlagKey: key})
		if err != nil || len(history.GetEntries()) != 1 {
			s.Errorf("%s: %v, %v", point, history.GetEntries(), err)
		}
	}
}

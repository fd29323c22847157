//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// churn creates, changes, switches and deletes some flags and segments, each based on what
// it did before, at random, and retries until it has an answer.
type churn struct {
	t        testing.TB
	random   *rand.Rand
	flags    controlv1.FlagServiceClient
	segments controlv1.SegmentServiceClient
	items    []*churned
	at       *churned // whose write is pending
	pending  func(context.Context) error
	tolerate func(error) bool // as bed.Writer's; may be nil
}

// churned is one flag or segment.
type churned struct {
	key      string
	segment  bool
	revision int64 // 0: it is not there
	enabled  bool
	count    int
}

// churnedItems is how many flags one churn has, and as many segments.
const churnedItems = 4

func newChurn(s *scenario, server string, number int) *churn {
	conn := bed.Dial(s, server)
	c := &churn{
		t: s, tolerate: s.tolerate, random: rand.New(rand.NewPCG(s.seed, uint64(number))),
		flags: controlv1.NewFlagServiceClient(conn), segments: controlv1.NewSegmentServiceClient(conn),
	}
	for i := range 2 * churnedItems {
		c.items = append(c.items, &churned{key: fmt.Sprintf("churn-%d-%d", number, i), segment: i >= churnedItems})
	}
	return c
}

func (c *churn) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c.pending == nil {
			c.at = c.items[c.random.IntN(len(c.items))]
			c.pending = c.next(c.at, uuid.NewString())
		}
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := c.pending(attempt)
		cancel()
		switch code := status.Code(err); {
		case err == nil:
			c.pending = nil
		case code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.Canceled && (c.tolerate == nil || !c.tolerate(err)):
			c.t.Errorf("%s, based on revision %d: %v", c.at.key, c.at.revision, err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// next is the next write of an item.
func (c *churn) next(i *churned, id string) func(context.Context) error {
	i.count++
	remove, change := i.revision != 0 && c.random.IntN(4) == 0, i.revision != 0
	switch {
	case i.segment && remove:
		r := &controlv1.DeleteSegmentRequest{Environment: bed.Environment, SegmentKey: i.key, BaseRevision: i.revision, Reason: "churn", RequestId: id}
		return func(ctx context.Context) error {
			_, err := c.segments.DeleteSegment(ctx, r)
			return i.wrote(0, err)
		}
	case i.segment && change:
		r := &controlv1.UpdateSegmentRequest{Environment: bed.Environment, Segment: i.asSegment(), BaseRevision: i.revision, Reason: "churn", RequestId: id}
		return func(ctx context.Context) error {
			a, err := c.segments.UpdateSegment(ctx, r)
			return i.wrote(a.GetSegment().GetRevision(), err)
		}
	case i.segment:
		r := &controlv1.CreateSegmentRequest{Environment: bed.Environment, Segment: i.asSegment(), Reason: "churn", RequestId: id}
		return func(ctx context.Context) error {
			a, err := c.segments.CreateSegment(ctx, r)
			return i.wrote(a.GetSegment().GetRevision(), err)
		}
	case remove:
		r := &controlv1.DeleteFlagRequest{Environment: bed.Environment, FlagKey: i.key, BaseRevision: i.revision, Reason: "churn", RequestId: id}
		return func(ctx context.Context) error {
			_, err := c.flags.DeleteFlag(ctx, r)
			return i.wrote(0, err)
		}
	case change && c.random.IntN(2) == 0:
		i.enabled = !i.enabled
		r := &controlv1.SetEnabledRequest{Environment: bed.Environment, FlagKey: i.key, Enabled: i.enabled, BaseRevision: proto.Int64(i.revision), Reason: "churn", RequestId: id}
		return func(ctx context.Context) error {
			a, err := c.flags.SetEnabled(ctx, r)
			return i.wrote(a.GetFlag().GetRevision(), err)
		}
	case change:
		r := &controlv1.UpdateFlagRequest{Environment: bed.Environment, Flag: i.asFlag(), BaseRevision: i.revision, Reason: "churn", RequestId: id}
		return func(ctx context.Context) error {
			a, err := c.flags.UpdateFlag(ctx, r)
			return i.wrote(a.GetFlag().GetRevision(), err)
		}
	default:
		i.enabled = true
		r := &controlv1.CreateFlagRequest{Environment: bed.Environment, Flag: i.asFlag(), Reason: "churn", RequestId: id}
		return func(ctx context.Context) error {
			a, err := c.flags.CreateFlag(ctx, r)
			return i.wrote(a.GetFlag().GetRevision(), err)
		}
	}
}

// wrote takes in the answer to a write.
func (i *churned) wrote(revision int64, err error) error {
	if err == nil {
		i.revision = revision
	}
	return err
}

func (i *churned) asFlag() *flagv1.Flag {
	return &flagv1.Flag{
		Key: i.key, Type: flagv1.ValueType_VALUE_TYPE_INTEGER, Enabled: i.enabled,
		Variants:       []*flagv1.Variant{{Name: "count", Value: structpb.NewNumberValue(float64(i.count))}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "count"}},
	}
}

func (i *churned) asSegment() *flagv1.Segment {
	return &flagv1.Segment{Key: i.key, Included: []string{fmt.Sprintf("user-%d", i.count)}}
}

package controlplane

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/rollout"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// maxProposedSegments is how many segments one question may propose.
	maxProposedSegments = 64
	// catchUpTime is how long an explanation waits for what was written before.
	catchUpTime = time.Second
	// maxRegion is the longest name of a region, in bytes.
	maxRegion = 256
)

// explainer explains an evaluation in an environment, with what is proposed.
type explainer struct {
	snapshot *snapshot.Snapshot
	env      *eval.Environment
	ctx      *eval.Context
	flags    map[string]*flagv1.Flag    // proposed
	segments map[string]*flagv1.Segment // proposed
	reader   Reader
	// kept are the versions in force of flags and segments that cannot be used as they are stored.
	kept map[snapshot.ID]*snapshot.Item
}

// ExplainEvaluation tells what a flag answers, and how it comes to that, as far as the
// reader may know it.
func (a *Authority) ExplainEvaluation(ctx context.Context, r *controlv1.ExplainEvaluationRequest, reader Reader) (*controlv1.ExplainEvaluationResponse, error) {
	changes, err := checkExplain(r)
	if err != nil {
		return nil, err
	}
	if err := a.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	a.catchUp(ctx)
	replica := a.replicas.Replica(r.GetEnvironment())
	if replica == nil || replica.Snapshot() == nil {
		return nil, fmt.Errorf("%w: environment %q is not loaded yet", ErrUnavailable, r.GetEnvironment())
	}
	x := newExplainer(replica.Snapshot(), changes, r)
	x.reader = reader
	x.ctx = &eval.Context{
		TargetingKey: r.GetContext().GetTargetingKey(), Attributes: eval.StructAttributes(r.GetContext().GetAttributes()),
		Region: r.GetRegion(), Now: a.now().Unix(),
	}
	if r.GetTime() != nil {
		x.ctx.Now = r.GetTime().AsTime().Unix()
	}
	key := r.GetFlagKey()
	if r.GetFlag() != nil {
		key = r.GetFlag().GetKey()
	}
	result, explanation := x.env.Explain(key, x.ctx)
	return &controlv1.ExplainEvaluationResponse{
		Answer: explainedAnswer(result), Explanation: x.flag(explanation), EnvironmentRevision: x.snapshot.Cursor().Revision,
	}, nil
}

// catchUp waits for a moment until what was written before the call is applied here. Without the
// store, or where that takes longer, it is answered from what there is, which says of when it is.
func (a *Authority) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	if _, revision, err := a.Head(ctx); err == nil {
		_, _ = a.applier.wait(ctx, revision)
	}
}

// checkExplain compiles what is proposed.
func checkExplain(r *controlv1.ExplainEvaluationRequest) (changes eval.Changes, err error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	switch {
	case r.GetFlag() != nil && r.GetFlagKey() != "":
		check.add("flag_key", "is given beside flag: name a flag that is there, or give one as it would be")
	case r.GetFlag() != nil:
		if known := check.definition("flag", r.GetFlag()); known != nil {
			changes.Flags = append(changes.Flags, known.flag)
		}
	default:
		check.key("flag_key", r.GetFlagKey())
	}
	if n := len(r.GetSegments()); n > maxProposedSegments {
		check.add("segments", "there are %d; at most %d are allowed", n, maxProposedSegments)
	}
	for i, s := range r.GetSegments()[:min(len(r.GetSegments()), maxProposedSegments)] {
		if known := check.definition(fmt.Sprintf("segments[%d]", i), s); known != nil {
			changes.Segments = append(changes.Segments, known.segment)
		}
	}
	if len(r.GetRegion()) > maxRegion {
		check.add("region", "takes %d bytes; at most %d are allowed", len(r.GetRegion()), maxRegion)
	}
	if r.GetTime() != nil && !r.GetTime().IsValid() {
		check.add("time", "is not a time between the years 1 and 9999")
	}
	return changes, check.err()
}

func newExplainer(s *snapshot.Snapshot, changes eval.Changes, r *controlv1.ExplainEvaluationRequest) *explainer {
	x := &explainer{
		snapshot: s, env: s.Eval().With(changes), flags: make(map[string]*flagv1.Flag), segments: make(map[string]*flagv1.Segment),
		kept: make(map[snapshot.ID]*snapshot.Item),
	}
	if r.GetFlag() != nil {
		x.flags[r.GetFlag().GetKey()] = r.GetFlag()
	}
	for _, s := range r.GetSegments() {
		x.segments[s.GetKey()] = s
	}
	for _, rejection := range s.Rejections() {
		x.kept[rejection.Item.ID()] = rejection.Good
	}
	return x
}

// inForce is the item of the version that is evaluated.
func (x *explainer) inForce(kind syncv1.Kind, key string) snapshot.Item {
	if kept := x.kept[snapshot.ID{Kind: kind, Key: key}]; kept != nil {
		return *kept
	}
	item, _ := x.snapshot.Item(kind, key)
	return item
}

// flagOf is the definition of a flag that was evaluated.
func (x *explainer) flagOf(key string) *flagv1.Flag {
	if f := x.flags[key]; f != nil {
		return f
	}
	f, err := x.inForce(syncv1.Kind_KIND_FLAG, key).Flag()
	if err != nil {
		return nil // it is in force, so it can be decoded
	}
	return f
}

func (x *explainer) segmentOf(key string) *flagv1.Segment {
	if s := x.segments[key]; s != nil {
		return s
	}
	s, err := x.inForce(syncv1.Kind_KIND_SEGMENT, key).Segment()
	if err != nil {
		return nil
	}
	return s
}

// ownerOf is the rollout, not over, that owns an outcome of a flag; empty: none does, or none that
// the reader may know.
func (x *explainer) ownerOf(flagKey, rule string) string {
	for _, item := range x.snapshot.Rollouts() {
		if r, err := item.Rollout(); err == nil && rollout.Active(r) && r.GetFlagKey() == flagKey && r.GetRule() == rule {
			if !x.reader.KnowsRollout(item.Key, flagKey) {
				return ""
			}
			return item.Key
		}
	}
	return ""
}

func explainedAnswer(r eval.Result) *controlv1.ExplainedAnswer {
	a := &controlv1.ExplainedAnswer{Reason: string(r.Reason), Rule: r.Rule, UnmetPrerequisite: r.UnmetPrerequisite()}
	if r.Reason == eval.ReasonError {
		a.ErrorCode, a.ErrorMessage = string(r.ErrorCode), r.ErrorMessage()
		return a
	}
	if r.Variant != nil {
		a.Variant, a.Value = r.Variant.Name, variantValue(r.Variant.Value)
	}
	return a
}

func variantValue(v eval.VariantValue) *structpb.Value {
	if v.Type == flagv1.ValueType_VALUE_TYPE_OBJECT {
		return structpb.NewStructValue(v.Proto)
	}
	return eval.ValueOf(v.Any()).Proto()
}

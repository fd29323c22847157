package relay

import (
	"context"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/preview"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// This file answers what a change would do to the subjects that this relay, and those below
// it, have answered lately. It is off the way of all answers, takes one question after the other,
// and gives up in time. The subjects' contexts stay here.

const (
	// samplesEvery is how often the samples are brought up to the time.
	samplesEvery = time.Second
	// hopTime is what a hop keeps for itself of the time that there is.
	hopTime = 150 * time.Millisecond
	// maxCompare is how long this relay evaluates for one question.
	maxCompare = time.Second
	// maxPreviewFlags is how many flags it is asked of; of more it does not tell.
	maxPreviewFlags = 256
)

// openSamples makes the samplers, which must be there before the first snapshot is.
func (r *Relay) openSamples(o *Options) {
	if o.PreviewBytes < 0 || len(o.Files) > 0 { // nobody asks
		return
	}
	r.samples = preview.NewMemory(o.PreviewBytes)
	for _, e := range r.evaluation.environments {
		e.subjects = preview.New(e.name, r.samples, time.Now())
		r.served[e.name].subjects = e.subjects
	}
}

// sampled is the subject of a call that answers many flags.
func (src *source) sampled(chosen selection, subject *eval.Context) preview.Subject {
	if chosen.keys != nil {
		return src.env.subjects.Subject(subject)
	}
	return src.env.sampledAll(src.snapshot, src.right, chosen.prefix, subject)
}

// sampledAll is the subject of a call that answers all flags with a prefix that the caller sees.
func (e *environment) sampledAll(s *snapshot.Snapshot, right *accesskey.Right, prefix string, subject *eval.Context) preview.Subject {
	if e.subjects == nil {
		return preview.Subject{}
	}
	state := s.Cursor().Digest.Lo ^ xxhash.Sum64String(right.Fingerprint()+"/"+prefix)
	return e.subjects.SubjectOfAll(subject, state)
}

// sampleAll samples the subject of a caller who has the answers already.
func (e *environment) sampleAll(s *snapshot.Snapshot, right *accesskey.Right, subject *eval.Context) {
	sampled := e.sampledAll(s, right, "", subject)
	if !sampled.Wanted() {
		return
	}
	for _, f := range s.Eval().Flags() {
		if right.Sees(f) {
			sampled.Saw(f, subject)
		}
	}
	sampled.Noted()
}

// turnSamples runs until ctx ends.
func (r *Relay) turnSamples(ctx context.Context) {
	if r.samples == nil {
		return
	}
	ticker := time.NewTicker(samplesEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, e := range r.evaluation.environments {
				if snap := e.replica.Snapshot(); snap != nil {
					e.subjects.Turn(snap.Eval(), now)
				} else {
					e.subjects.Turn(nil, now)
				}
			}
		}
	}
}

// Preview implements [follower.Previewer].
func (r *Relay) Preview(ctx context.Context, p *syncv1.Preview) *syncv1.PreviewAnswer {
	keys := p.GetFlagKeys()
	keys = keys[:min(len(keys), maxPreviewFlags)]
	merger := preview.NewMerger(keys, min(int(p.GetSubjects()), preview.Subjects))
	below := make(chan *syncv1.PreviewAnswer, 1)
	go func() { below <- r.previewBelow(ctx, p) }()
	merger.Add(r.compare(ctx, p, keys))
	merger.Add(<-below)
	return merger.Answer(0)
}

// previewBelow asks the relays that follow this one; they have a little less time.
func (r *Relay) previewBelow(ctx context.Context, p *syncv1.Preview) *syncv1.PreviewAnswer {
	ctx, cancel := shorter(ctx, hopTime)
	defer cancel()
	deadline, _ := ctx.Deadline()
	p = proto.CloneOf(p)
	p.Timeout = durationpb.New(max(time.Until(deadline), 0))
	return r.hub.Preview(ctx, p)
}

// shorter is a context that ends before another one does.
func shorter(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(maxCompare)
	}
	return context.WithDeadline(ctx, deadline.Add(-by))
}

// compare tells of the subjects of this relay.
func (r *Relay) compare(ctx context.Context, p *syncv1.Preview, keys []string) *syncv1.PreviewAnswer {
	i := slices.IndexFunc(r.evaluation.environments, func(e *environment) bool { return e.name == p.GetEnvironment() })
	if i < 0 || r.samples == nil {
		return nil
	}
	e := r.evaluation.environments[i]
	before := e.replica.Snapshot()
	if before == nil {
		return nil
	}
	after, ok := proposed(before, p)
	if !ok {
		return nil
	}
	// What this relay has shut by itself stays so.
	after = after.Controlled(r.telemetry.byName[e.name].edge.shut())

	ctx, cancel := shorter(ctx, hopTime)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, maxCompare)
	defer stop()
	now := time.Now()
	c := &preview.Comparison{
		Before: before.Eval(), After: after.Eval(),
		Here: func(subject *eval.Context) { r.evaluation.here(subject, now) },
	}
	a := &syncv1.PreviewAnswer{Since: timestamppb.New(e.subjects.Since())}
	for _, key := range keys {
		if f := e.subjects.Compare(ctx, c, key, min(int(p.GetSubjects()), preview.Subjects)); f != nil {
			a.Relays, a.Flags = 1, append(a.Flags, f)
		}
	}
	return a
}

// proposed is the snapshot as it would be; false: something of it cannot be used here.
func proposed(now *snapshot.Snapshot, p *syncv1.Preview) (*snapshot.Snapshot, bool) {
	revision := now.Cursor().Revision + 1
	known := func(k syncv1.Kind) bool { return k == syncv1.Kind_KIND_FLAG || k == syncv1.Kind_KIND_SEGMENT }
	var puts []snapshot.Item
	var deletes []snapshot.ID
	for _, put := range p.GetPuts() {
		if !known(put.GetKind()) {
			return nil, false
		}
		puts = append(puts, snapshot.Item{Kind: put.GetKind(), Key: put.GetKey(), ModRevision: revision, Data: put.GetData()})
	}
	for _, d := range p.GetDeletes() {
		if !known(d.GetKind()) {
			return nil, false
		}
		deletes = append(deletes, snapshot.ID{Kind: d.GetKind(), Key: d.GetKey()})
	}
	next, _ := now.Next(revision, puts, deletes)
	for _, rejected := range next.Rejections() {
		if rejected.Item.ModRevision == revision {
			return nil, false
		}
	}
	return next, true
}

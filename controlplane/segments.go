package controlplane

import (
	"context"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// GetSegment returns a segment as the store has it now.
func (a *Authority) GetSegment(ctx context.Context, r *controlv1.GetSegmentRequest) (*controlv1.GetSegmentResponse, error) {
	v, err := a.get(ctx, segmentKind, r.GetEnvironment(), r.GetSegmentKey())
	if err != nil {
		return nil, err
	}
	return &controlv1.GetSegmentResponse{Segment: segmentVersion(v)}, nil
}

// ListSegments lists the segments of an environment, by key.
func (a *Authority) ListSegments(ctx context.Context, r *controlv1.ListSegmentsRequest) (*controlv1.ListSegmentsResponse, error) {
	p, err := a.list(ctx, segmentKind, r)
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ListSegmentsResponse{NextPageToken: p.next, Revision: p.revision}
	for _, v := range p.versions {
		resp.Segments = append(resp.Segments, segmentVersion(v))
	}
	return resp, nil
}

// ListSegmentHistory lists a segment's audit entries, newest first.
func (a *Authority) ListSegmentHistory(ctx context.Context, r *controlv1.ListSegmentHistoryRequest) (*controlv1.ListSegmentHistoryResponse, error) {
	entries, next, err := a.history(ctx, segmentKind, r.GetSegmentKey(), r)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListSegmentHistoryResponse{Entries: entries, NextPageToken: next}, nil
}

// CreateSegment makes a segment.
func (a *Authority) CreateSegment(ctx context.Context, c Caller, r *controlv1.CreateSegmentRequest) (*controlv1.CreateSegmentResponse, error) {
	result, err := a.define(ctx, c, r, segmentKind, r.GetSegment(), nil)
	if err != nil {
		return nil, err
	}
	return &controlv1.CreateSegmentResponse{Segment: segmentVersion(result.version), Entry: result.entry}, nil
}

// UpdateSegment replaces a segment.
func (a *Authority) UpdateSegment(ctx context.Context, c Caller, r *controlv1.UpdateSegmentRequest) (*controlv1.UpdateSegmentResponse, error) {
	result, err := a.define(ctx, c, r, segmentKind, r.GetSegment(), &r.BaseRevision)
	if err != nil {
		return nil, err
	}
	return &controlv1.UpdateSegmentResponse{Segment: segmentVersion(result.version), Entry: result.entry}, nil
}

// DeleteSegment deletes a segment that no flag needs.
func (a *Authority) DeleteSegment(ctx context.Context, c Caller, r *controlv1.DeleteSegmentRequest) (*controlv1.DeleteSegmentResponse, error) {
	result, err := a.remove(ctx, c, r, segmentKind, r.GetSegmentKey(), r.GetBaseRevision(), nil)
	if err != nil {
		return nil, err
	}
	return &controlv1.DeleteSegmentResponse{Entry: result.entry}, nil
}

// RestoreSegment writes an earlier version of a segment again.
func (a *Authority) RestoreSegment(ctx context.Context, c Caller, r *controlv1.RestoreSegmentRequest) (*controlv1.RestoreSegmentResponse, error) {
	result, err := a.restore(ctx, c, r, segmentKind, r.GetSegmentKey())
	if err != nil {
		return nil, err
	}
	return &controlv1.RestoreSegmentResponse{Segment: segmentVersion(result.version), Entry: result.entry}, nil
}

func segmentVersion(v version) *controlv1.SegmentVersion {
	segment, _ := v.message.(*flagv1.Segment)
	return &controlv1.SegmentVersion{Segment: segment, Revision: v.revision}
}

package server

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/fleet"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/preview"
)

const (
	// previewTime is how long a preview takes at most; relays have a little less.
	previewTime  = 2 * time.Second
	previewRelay = 1700 * time.Millisecond
	// maxPreviewed is how many flags another server may ask of.
	maxPreviewed = 256
)

// previewer tells what a change would do to the subjects that the relays of the cluster have
// answered lately: of those below this server, and below the others, which it asks.
type previewer struct {
	authority *controlplane.Authority
	hub       *hub.Hub
	fleet     *fleet.Fleet
	calls     leaderCalls // which know how to call other servers
}

func (s *Server) previewer() previewer {
	return previewer{authority: s.authority, hub: s.hub, fleet: s.fleet, calls: s.leaderCalls()}
}

// change answers PreviewChange.
func (p previewer) change(ctx context.Context, r *controlv1.PreviewChangeRequest, reader controlplane.Reader) (*controlv1.PreviewChangeResponse, error) {
	proposal, err := p.authority.Proposed(ctx, r, reader)
	if err != nil {
		return nil, err
	}
	question := proposal.Question
	response := &controlv1.PreviewChangeResponse{FlagsLeftOut: clampInt32(proposal.LeftOut), FlagsHidden: clampInt32(proposal.Hidden)}
	if len(question.GetFlagKeys()) == 0 {
		return response, nil // it is so already
	}
	question.Subjects, question.Timeout = preview.Subjects, durationpb.New(previewRelay)
	ctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()

	var asking sync.WaitGroup
	var relays *controlv1.ListRelaysResponse
	asking.Go(func() {
		// What it does not tell is not counted.
		relays, _ = p.fleet.ListRelays(ctx, &controlv1.ListRelaysRequest{Environment: r.GetEnvironment()})
	})
	answer, silent := p.ask(ctx, question)
	asking.Wait()

	response.Relays = clampInt32(int(answer.GetRelays()))
	response.RelaysTotal = max(response.GetRelays(), clampInt32(len(relays.GetRelays())))
	response.UnreachableServers = slices.Compact(slices.Sorted(slices.Values(append(silent, relays.GetUnreachableServers()...))))
	response.Since = answer.GetSince()
	told := map[string]*syncv1.PreviewFlag{}
	for _, f := range answer.GetFlags() {
		told[f.GetFlagKey()] = f
	}
	for i, key := range question.GetFlagKeys() {
		f := &controlv1.FlagPreview{FlagKey: key}
		if told[key] != nil {
			f = preview.Estimate(told[key])
		}
		f.Dependant = i >= proposal.Named
		response.Flags = append(response.Flags, f)
	}
	return response, nil
}

func clampInt32(n int) int32 { return int32(min(n, math.MaxInt32)) }

// ask asks everybody, and returns which servers have not answered.
func (p previewer) ask(ctx context.Context, question *syncv1.Preview) (answer *syncv1.PreviewAnswer, silent []string) {
	merger := preview.NewMerger(question.GetFlagKeys(), preview.Subjects)
	var mu sync.Mutex
	var asking sync.WaitGroup
	asking.Go(func() {
		a := p.below(ctx, question)
		mu.Lock()
		defer mu.Unlock()
		merger.Add(a)
	})
	others := p.fleet.OtherServers()
	for _, id := range slices.Sorted(maps.Keys(others)) {
		asking.Go(func() {
			a, err := p.server(ctx, others[id], question)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				silent = append(silent, id)
				return
			}
			merger.Add(a)
		})
	}
	asking.Wait()
	return merger.Answer(0), silent
}

// below asks the relays below this server.
func (p previewer) below(ctx context.Context, question *syncv1.Preview) *syncv1.PreviewAnswer {
	ctx, cancel := context.WithTimeout(ctx, min(max(question.GetTimeout().AsDuration(), 0), previewTime))
	defer cancel()
	return p.hub.Preview(ctx, question)
}

// server asks another server about the relays below it.
func (p previewer) server(ctx context.Context, address string, question *syncv1.Preview) (*syncv1.PreviewAnswer, error) {
	conn, release, err := p.calls.peers.acquire(address)
	if err != nil {
		return nil, err
	}
	defer release()
	r, err := controlv1.NewFleetServiceClient(conn).PreviewRelays(p.calls.asServer(ctx), &controlv1.PreviewRelaysRequest{Preview: question})
	return r.GetAnswer(), err
}

// relays answers PreviewRelays, of another server.
func (p previewer) relays(ctx context.Context, r *controlv1.PreviewRelaysRequest) (*controlv1.PreviewRelaysResponse, error) {
	question := r.GetPreview()
	switch {
	case question.GetEnvironment() == "":
		return nil, status.Error(codes.InvalidArgument, "preview.environment is empty: want a name such as production")
	case len(question.GetFlagKeys()) > maxPreviewed:
		return nil, status.Errorf(codes.InvalidArgument, "preview.flag_keys has %d keys; at most %d are allowed", len(question.GetFlagKeys()), maxPreviewed)
	}
	return &controlv1.PreviewRelaysResponse{Answer: p.below(ctx, question)}, nil
}

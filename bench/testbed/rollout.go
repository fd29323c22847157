package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// Switch is a flag that is off for everybody.
func Switch(key, owner string) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, OffVariant: "off", Owner: owner,
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
		},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
	}
}

// Guardrails are what is written as 'errors: rate < +5% relative'.
func Guardrails(texts ...string) ([]*rolloutv1.Guardrail, error) {
	var list []*rolloutv1.Guardrail
	for _, text := range texts {
		g, err := rollout.ParseGuardrail(text)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// Follow shows what becomes of a rollout, until it is over, and returns what it was last; nil,
// if nothing was shown.
func (s *Server) Follow(ctx context.Context, key string, show func(*controlv1.WatchRolloutResponse)) (last *controlv1.RolloutVersion, err error) {
	stream, err := s.Rollouts.WatchRollout(ctx, &controlv1.WatchRolloutRequest{Environment: Environment, Key: key})
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return last, nil
		case err != nil:
			return last, fmt.Errorf("watching %s: %w", key, err)
		}
		last = m.GetRollout()
		show(m)
	}
}

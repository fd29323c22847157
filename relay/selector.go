package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/rpc"
)

// Requests of flagd's protocols and of OFREP have no field for the environment: a header
// names it, else flagd's selector does (its header before its field), else it is the
// relay's default.
const (
	environmentHeader = "tidegate-environment"
	selectorHeader    = "flagd-selector"
)

// errSelector says that a call does not name an environment as it could.
var errSelector = errors.New("invalid selector")

// errManyHeaders is what naming two environments at once comes to.
func errManyHeaders(name string, n int) error {
	return fmt.Errorf("%w: the header %s is there %d times: want it once", errSelector, name, n)
}

// environmentOf reads flagd's selector: 'flagSetId=ENV' or 'source=ENV', or ENV alone.
// An environment is a flag set and a source at once.
func environmentOf(selector string) (string, error) {
	key, value, found := strings.Cut(selector, "=")
	if !found {
		key, value = "source", selector
	}
	switch {
	case key != "flagSetId" && key != "source":
		return "", fmt.Errorf("%w: unknown key %.64q: want flagSetId=ENVIRONMENT", errSelector, key)
	case value == "":
		return "", fmt.Errorf("%w: %s is empty, and every flag is in an environment: want %s=ENVIRONMENT", errSelector, key, key)
	case strings.ContainsAny(value, "=,"):
		return "", fmt.Errorf("%w: %.64q: want one key and one value, flagSetId=ENVIRONMENT", errSelector, selector)
	}
	return value, nil
}

// choose finds the environment of a call by the values of the two headers and by the
// selector in the request, if it has one. What fails wraps errSelector, or is NOT_FOUND.
func (s *evaluationService) choose(environments, selectors []string, field string) (*environment, error) {
	switch {
	case len(environments) > 1:
		return nil, errManyHeaders(environmentHeader, len(environments))
	case len(selectors) > 1:
		return nil, errManyHeaders(selectorHeader, len(selectors))
	case len(environments) == 1 && environments[0] != "":
		return s.environment(environments[0])
	case len(selectors) == 1 && selectors[0] != "":
		field = selectors[0]
	}
	if field == "" {
		return s.environment("")
	}
	name, err := environmentOf(field)
	if err != nil {
		return nil, err
	}
	return s.environment(name)
}

// called is choose for a gRPC call: what fails is a status.
func (s *evaluationService) called(ctx context.Context, selector string) (*environment, error) {
	e, err := s.choose(metadata.ValueFromIncomingContext(ctx, environmentHeader),
		metadata.ValueFromIncomingContext(ctx, selectorHeader), selector)
	if errors.Is(err, errSelector) {
		return nil, rpc.Status(codes.InvalidArgument, err.Error(), rpc.BadRequest(eval.Errors{{Field: "environment", Problem: err.Error()}}))
	}
	return e, err
}

// here adds to a context what is known of the place and time of the evaluation.
func (s *evaluationService) here(ctx *eval.Context, now time.Time) {
	ctx.Region, ctx.Now = s.region, now.Unix()
}

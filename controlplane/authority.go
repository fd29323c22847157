// Package controlplane is the authority over flags: it validates changes, commits them
// with their audit entry in one guarded transaction, and keeps the history. Separately,
// and only from the store's watch, it applies what was committed to the replicas that
// the hub serves. A write never publishes; so every control server shows one order.
//
// It knows no inbound transport: requests and responses are plain messages, errors are
// the types below.
package controlplane

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// Options of an Authority.
type Options struct {
	Store    store.Store  // required
	Replicas *replica.Set // required; published to by Run alone
	// Environments are made where the store does not have them yet.
	Environments []string
	Logger       zerolog.Logger
	Now          func() time.Time // default time.Now; for audit entries only
}

// Authority answers the control services.
type Authority struct{}

// Open makes the environments and the epoch, and loads every environment into the
// replicas.
func Open(ctx context.Context, o Options) (*Authority, error) { panic("stub") }

// Run applies what the store's watch shows until ctx ends. It reconnects, and recovers
// from compaction, by itself; while it cannot, replicas age.
func (a *Authority) Run(ctx context.Context) error { panic("stub") }

// Caller is who asks for a change, and from where.
type Caller struct{ Actor, Peer string }

func (a *Authority) ListFlags(ctx context.Context, r *controlv1.ListFlagsRequest) (*controlv1.ListFlagsResponse, error) {
	panic("stub")
}

func (a *Authority) CreateFlag(ctx context.Context, c Caller, r *controlv1.CreateFlagRequest) (*controlv1.CreateFlagResponse, error) {
	panic("stub")
}

// ... and so on for every method of FlagService, SegmentService and EnvironmentService:
// reads take (ctx, request), writes take (ctx, caller, request).

var (
	// ErrUnavailable: the store does not answer; the outcome of a write is unknown.
	ErrUnavailable = errors.New("controlplane: the store does not answer")
	// ErrTokenExpired: a page token's revision was compacted.
	ErrTokenExpired = errors.New("controlplane: page token expired")
)

// InvalidError: the request is wrong. Nothing was written.
type InvalidError struct{ Fields eval.Errors }

// PreconditionError: the change contradicts other flags or segments.
type PreconditionError struct{ Fields eval.Errors }

// NotFoundError and ExistsError say what (such as `flag "a" in environment "production"`).
type NotFoundError struct{ What string }
type ExistsError struct{ What string }

// ConflictError: the write was based on a version that is no longer current.
type ConflictError struct{ Conflict *controlv1.Conflict }

func (e *InvalidError) Error() string      { panic("stub") }
func (e *PreconditionError) Error() string { panic("stub") }
func (e *NotFoundError) Error() string     { panic("stub") }
func (e *ExistsError) Error() string       { panic("stub") }
func (e *ConflictError) Error() string     { panic("stub") }

package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/freeze"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// maxFrozen is how many environments one request names; all of them together are named by none.
const maxFrozen = 256

// FreezerOptions are what a Freezer is made of.
type FreezerOptions struct {
	Authority *Authority // required
	// Announce returns what has people told, for the transaction that it happens in; nil: nobody
	// is.
	Announce func(FreezeChange) []store.Op
}

// FreezeChange is what somebody froze, or lifted.
type FreezeChange struct {
	// Freezes that began, became longer, or were lifted.
	Freezes []*controlv1.Freeze
	Lifted  bool
	// Caller who did it, why, and when.
	Caller Caller
	Reason string
	Time   time.Time
}

// Freezer freezes environments, and lifts that. Its methods may be called from any goroutine, and
// need nothing but the store.
type Freezer struct{ o FreezerOptions }

// NewFreezer makes a Freezer.
func NewFreezer(o FreezerOptions) (*Freezer, error) {
	if o.Authority == nil {
		return nil, errors.New("controlplane: FreezerOptions.Authority is required")
	}
	return &Freezer{o: o}, nil
}

// freezeResource is what is frozen, of the whole store.
var freezeResource = resource{environment: storeScope, kind: freezeKind, key: "freeze"}

// errNothingToLift: nothing is frozen of what was named.
var errNothingToLift = errors.New("controlplane: nothing to lift")

// freezeRequest is what both requests have in common.
type freezeRequest interface {
	writeRequest
	GetEnvironments() []string
}

// Freeze freezes environments.
func (f *Freezer) Freeze(ctx context.Context, c Caller, r *controlv1.FreezeRequest) (*controlv1.FreezeResponse, error) {
	var check checker
	if until := r.GetUntil(); until != nil {
		if now := f.o.Authority.now(); !until.IsValid() || !until.AsTime().After(now) {
			check.add("until", "must be in the future: it is %s here", now.UTC().Format(time.RFC3339))
		}
	}
	if err := f.check(ctx, &check, r); err != nil {
		return nil, err
	}
	result, err := f.write(ctx, c, r, controlv1.Action_ACTION_FROZEN, func(current version, now time.Time) (proto.Message, []*controlv1.Freeze, error) {
		all, _ := current.message.(*controlv1.Freezes) // what cannot be decoded is replaced
		next, changed := extended(all, targets(r), &controlv1.Freeze{
			Actor: c.Actor, Reason: r.GetReason(), Since: timestamppb.New(now), Until: r.GetUntil(),
		}, now)
		return next, changed, nil
	})
	if err != nil {
		return nil, err
	}
	all, _ := result.message.(*controlv1.Freezes)
	return &controlv1.FreezeResponse{Freezes: freeze.InForce(all, f.o.Authority.now()), Revision: result.revision, Entry: result.entry}, nil
}

// extended are the freezes with what is asked for of each of the environments, and which of them
// that changed.
func extended(all *controlv1.Freezes, environments []string, asked *controlv1.Freeze, now time.Time) (next *controlv1.Freezes, changed []*controlv1.Freeze) {
	next = &controlv1.Freezes{}
	for _, held := range freeze.InForce(all, now) {
		next.Freezes = append(next.Freezes, proto.CloneOf(held))
	}
	for _, name := range environments {
		i := slices.IndexFunc(next.GetFreezes(), func(held *controlv1.Freeze) bool { return held.GetEnvironment() == name })
		made := proto.CloneOf(asked)
		made.Environment = name
		switch {
		case i < 0:
			next.Freezes = append(next.Freezes, made)
		case freeze.Later(asked.GetUntil(), next.GetFreezes()[i].GetUntil()):
			made.Since = next.GetFreezes()[i].GetSince()
			next.Freezes[i] = made
		default:
			continue
		}
		changed = append(changed, made)
	}
	if len(changed) == 0 {
		return all, nil
	}
	slices.SortFunc(next.GetFreezes(), func(a, b *controlv1.Freeze) int { return cmp.Compare(a.GetEnvironment(), b.GetEnvironment()) })
	return next, changed
}

// Lift lifts what was frozen.
func (f *Freezer) Lift(ctx context.Context, c Caller, r *controlv1.LiftRequest) (*controlv1.LiftResponse, error) {
	var check checker
	if err := f.check(ctx, &check, r); err != nil {
		return nil, err
	}
	var left version // if there is nothing to lift
	done, err := f.write(ctx, c, r, controlv1.Action_ACTION_LIFTED, func(current version, now time.Time) (proto.Message, []*controlv1.Freeze, error) {
		left = current
		return lifted(current, r.GetEnvironments(), now)
	})
	switch {
	case errors.Is(err, errNothingToLift):
		done = &result{version: left}
	case err != nil:
		return nil, err
	}
	all, _ := done.message.(*controlv1.Freezes)
	return &controlv1.LiftResponse{Freezes: freeze.InForce(all, f.o.Authority.now()), Revision: done.revision, Entry: done.entry}, nil
}

// lifted is what is left when environments, or all, are lifted; nil: nothing.
func lifted(current version, environments []string, now time.Time) (proto.Message, []*controlv1.Freeze, error) {
	all, ok := current.message.(*controlv1.Freezes)
	if !ok && current.revision != 0 {
		if len(environments) > 0 {
			return nil, nil, fmt.Errorf("%w: %s: lift everything, without naming environments", ErrCorrupt, freezeKey)
		}
		return nil, nil, nil
	}
	next := &controlv1.Freezes{}
	var gone []*controlv1.Freeze
	for _, held := range freeze.InForce(all, now) {
		switch {
		case len(environments) == 0 || slices.Contains(environments, held.GetEnvironment()):
			gone = append(gone, held)
		case held.GetEnvironment() == "":
			return nil, nil, precluded("environments", fmt.Sprintf(
				"all environments are frozen together, by %s since %s: %s; lift that as a whole, without naming environments",
				held.GetActor(), held.GetSince().AsTime().Format(time.RFC3339), held.GetReason()))
		default:
			next.Freezes = append(next.Freezes, held)
		}
	}
	switch {
	case len(gone) == 0:
		return nil, nil, errNothingToLift
	case len(next.GetFreezes()) == 0:
		return nil, gone, nil
	}
	return next, gone, nil
}

// targets are the environments that a request is of; all of them together are "".
func targets(r freezeRequest) []string {
	if len(r.GetEnvironments()) == 0 {
		return []string{""}
	}
	names := slices.Clone(r.GetEnvironments())
	slices.Sort(names)
	return slices.Compact(names)
}

// check makes sure that a request is whole, and that there is what it names.
func (f *Freezer) check(ctx context.Context, check *checker, r freezeRequest) error {
	if n := len(r.GetEnvironments()); n > maxFrozen {
		check.add("environments", "there are %d; at most %d are allowed, and none stands for all", n, maxFrozen)
	} else {
		for i, name := range r.GetEnvironments() {
			check.environment(fmt.Sprintf("environments[%d]", i), name)
		}
	}
	check.write(r)
	if err := check.err(); err != nil {
		return err
	}
	for _, name := range r.GetEnvironments() {
		if err := f.o.Authority.checkEnvironment(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// write makes of what is frozen what step makes of it, which tells what that changed.
func (f *Freezer) write(ctx context.Context, c Caller, r freezeRequest, verb controlv1.Action,
	step func(version, time.Time) (proto.Message, []*controlv1.Freeze, error),
) (*result, error) {
	ch := &change{resource: freezeResource, field: freezeKind.field, unchecked: true, verb: verb}
	ch.content = func(current, _ version) (proto.Message, error) {
		now := f.o.Authority.now()
		next, changed, err := step(current, now)
		ch.with = store.Txn{}
		if f.o.Announce != nil && len(changed) > 0 {
			ch.with.Ops = f.o.Announce(FreezeChange{
				Freezes: changed, Lifted: verb == controlv1.Action_ACTION_LIFTED, Caller: c, Reason: r.GetReason(), Time: now,
			})
		}
		return next, err
	}
	result, err := f.o.Authority.writeOne(ctx, c, r, ch)
	if err == nil && result.entry != nil {
		f.o.Authority.logger.Warn().Str("action", actionWord(verb)).Strs("environments", r.GetEnvironments()).
			Str("actor", c.Actor).Str("reason", r.GetReason()).Int64("revision", result.revision).Msg("what is frozen has changed")
	}
	return result, err
}

// GetFreeze tells for each environment whether it is frozen.
func (f *Freezer) GetFreeze(ctx context.Context, _ *controlv1.GetFreezeRequest) (*controlv1.GetFreezeResponse, error) {
	results, _, err := f.o.Authority.store.Read(ctx, store.Key(freezeKey), store.Prefix(EnvironmentsRoot))
	if err != nil {
		return nil, unavailable(err)
	}
	now, held := f.o.Authority.now(), freezeKind.version(results[0])
	all, ok := held.message.(*controlv1.Freezes)
	if !ok && held.revision != 0 {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, freezeKey)
	}
	resp := &controlv1.GetFreezeResponse{Freezes: freeze.InForce(all, now)}
	for _, kv := range results[1].KVs {
		name := strings.TrimPrefix(kv.Key, EnvironmentsRoot)
		set := environmentKind.version(store.Result{KVs: []store.KV{kv}})
		settings, ok := set.message.(*controlv1.EnvironmentSettings)
		if !ok {
			return nil, fmt.Errorf("%w: %s", ErrCorrupt, settingsOf(name))
		}
		e := &controlv1.EnvironmentFreeze{
			Environment: name, Frozen: freeze.At(all, settings, name, now), Next: freeze.Next(settings, now), Protected: settings.GetProtected(),
		}
		if until, ok := freeze.Until(all, settings, name, now); ok {
			e.Until = timestamppb.New(until)
		}
		resp.Environments = append(resp.Environments, e)
	}
	return resp, nil
}

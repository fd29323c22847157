package session

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
)

const (
	sweepEvery = time.Minute
	// settled is the age from which a session of nobody is one of somebody who was deleted,
	// rather than of somebody who is not known here yet.
	settled = time.Minute
	// writeTimeout bounds one write of what can as well be written later.
	writeTimeout = 5 * time.Second
)

// Run follows the store until ctx ends, writes down which sessions are used, and removes those
// that are over.
func (s *Sessions) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.mirror.Run(ctx)
	}()
	defer func() { <-done }()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case held := <-s.used:
			s.seen(ctx, held)
		case <-sweep.C:
			s.sweep(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// seen writes down that a session was used, unless it has changed: it may have been ended.
func (s *Sessions) seen(ctx context.Context, held found) {
	entries, _ := s.mirror.All()
	if e, there := entries[held.hash]; there && e.Revision > held.revision {
		return // it was written down already
	}
	next := proto.CloneOf(held.Session)
	next.LastSeenAt = timestamppb.New(s.o.Now())
	data, err := proto.Marshal(next)
	if err == nil {
		err = s.ifUnchanged(ctx, held, store.Put(sessionsRoot+held.hash, data))
	}
	if err != nil {
		s.o.Logger.Debug().Err(err).Str("session", held.GetId()).Msg("cannot write down that a session is used")
	}
}

// sweep removes the sessions that are over. Every server does: what one has removed, another
// does not find unchanged.
func (s *Sessions) sweep(ctx context.Context) {
	entries, _ := s.mirror.All()
	for hash, e := range entries {
		if e.Value == nil {
			continue
		}
		who, _, err := s.o.Directory.Current(e.Value.GetIdentityId())
		gone := errors.Is(err, identity.ErrUnknown) && s.o.Now().Sub(e.Value.GetCreatedAt().AsTime()) > settled
		if !gone && !s.over(e.Value, who) {
			continue
		}
		if err := s.ifUnchanged(ctx, found{e.Value, hash, e.Revision}, store.Delete(sessionsRoot+hash)); err != nil {
			s.o.Logger.Debug().Err(err).Str("session", e.Value.GetId()).Msg("cannot remove a session that is over")
			return
		}
	}
}

func (s *Sessions) ifUnchanged(ctx context.Context, held found, op store.Op) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err := s.o.Store.Commit(ctx, store.Txn{
		Compares: []store.Compare{store.Unchanged(sessionsRoot+held.hash, held.revision)}, Ops: []store.Op{op},
	})
	return err
}

// Package session knows who is logged in.
//
// A session is found by the hash of its token, on every server: one that a server has not heard
// of yet is looked for in the store. It is over when it is deleted, when it was idle for long or
// has lasted for long, and when its person is disabled, deleted, or has ended all sessions: then
// the person's generation of sessions is above the session's own, so that one transaction ends
// any number of them, also one that begins at the same time.
package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/mirror"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
)

// Where sessions, and logins that are to be fetched, are in the store.
const (
	sessionsRoot = "/tidegate/v1/i-sessions/"
	codesRoot    = "/tidegate/v1/i-codes/"
)

// How long sessions last, unless told otherwise.
const (
	DefaultIdle = 30 * time.Minute
	DefaultLast = 12 * time.Hour
)

// ErrEnded says that there is no such session, or no longer. It does not say which.
var ErrEnded = errors.New("no such session: it was logged out, or has ended by itself; log in again")

// Options of Sessions.
type Options struct {
	Store     store.Store         // required
	Directory *identity.Directory // required
	// Idle is how long a session lasts that is not used, Last how long any does.
	Idle, Last time.Duration
	Logger     zerolog.Logger
	Now        func() time.Time // default time.Now
}

// Sessions knows the sessions that the store has, and follows it. While it cannot, it is as it
// was.
type Sessions struct {
	o      Options
	mirror *mirror.Mirror[*accessv1.Session]
	// lookups bounds how often the store is asked for sessions that are not known: whoever makes
	// up tokens must not keep it busy.
	lookups *rate.Limiter
	used    chan found
	// seenEvery is how often the use of a session is written down.
	seenEvery time.Duration
}

// found is a session as the store had it.
type found struct {
	*accessv1.Session
	hash     string
	revision int64
}

const (
	lookupsPerSecond = 50
	// usedQueue is how many uses wait to be written down; more are forgotten.
	usedQueue = 64
	seenEvery = time.Minute
)

// Open reads the sessions; Run follows them.
func Open(ctx context.Context, o Options) (*Sessions, error) {
	if o.Idle <= 0 {
		o.Idle = DefaultIdle
	}
	if o.Last <= 0 {
		o.Last = DefaultLast
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sessions{
		o: o, lookups: rate.NewLimiter(lookupsPerSecond, lookupsPerSecond), used: make(chan found, usedQueue),
		seenEvery: min(seenEvery, o.Idle/10),
		mirror: mirror.New(mirror.Options[*accessv1.Session]{
			Store: o.Store, Prefix: sessionsRoot, Logger: o.Logger, Decode: decode,
		}),
	}
	return s, s.mirror.Load(ctx)
}

func decode(kv store.KV) (*accessv1.Session, error) {
	s := new(accessv1.Session)
	if err := proto.Unmarshal(kv.Value, s); err != nil {
		return nil, err // nobody's
	}
	return s, nil
}

// Find returns whose session a token's hash is of, and takes that for a use of it.
func (s *Sessions) Find(ctx context.Context, hash string) (identity.Known, error) {
	held, err := s.find(ctx, hash)
	if err != nil {
		return identity.Known{}, err
	}
	who, err := s.of(held.Session)
	if err != nil {
		return identity.Known{}, err
	}
	if s.o.Now().Sub(held.GetLastSeenAt().AsTime()) >= s.seenEvery {
		select {
		case s.used <- held:
		default: // many are: the next use is as good
		}
	}
	return who, nil
}

// Current returns whose session one is that was found, if it is still good. That is no use of it.
func (s *Sessions) Current(hash string) (identity.Known, error) {
	entries, _ := s.mirror.All()
	if e, there := entries[hash]; there && e.Value != nil {
		return s.of(e.Value)
	}
	return identity.Known{}, ErrEnded
}

// Changed is closed when any session has changed.
func (s *Sessions) Changed() <-chan struct{} {
	_, changed := s.mirror.All()
	return changed
}

func (s *Sessions) find(ctx context.Context, hash string) (found, error) {
	entries, _ := s.mirror.All()
	if e, there := entries[hash]; there && e.Value != nil {
		return found{e.Value, hash, e.Revision}, nil
	}
	if !s.lookups.Allow() {
		return found{}, ErrEnded
	}
	results, _, err := s.o.Store.Read(ctx, store.Key(sessionsRoot+hash))
	switch {
	case err != nil:
		return found{}, fmt.Errorf("look for the session: %w", err)
	case len(results[0].KVs) == 0:
		return found{}, ErrEnded
	}
	held, err := decode(results[0].KVs[0])
	if err != nil {
		return found{}, ErrEnded
	}
	return found{held, hash, results[0].KVs[0].ModRevision}, nil
}

// of returns whose session it is, if it is still good.
func (s *Sessions) of(held *accessv1.Session) (identity.Known, error) {
	who, _, err := s.o.Directory.Current(held.GetIdentityId())
	switch {
	case errors.Is(err, identity.ErrUnknown), err == nil && s.over(held, who):
		return identity.Known{}, ErrEnded
	case err != nil:
		return identity.Known{}, err
	}
	return who, nil
}

// over tells whether a session has ended, by itself or with all of its person's.
func (s *Sessions) over(held *accessv1.Session, who identity.Known) bool {
	return held.GetGeneration() < who.GetSessions() || !s.o.Now().Before(s.until(held))
}

// until is when a session ends unless it is used.
func (s *Sessions) until(held *accessv1.Session) time.Time {
	idle, last := s.IdleAt(held), held.GetExpiresAt().AsTime()
	if idle.Before(last) {
		return idle
	}
	return last
}

// IdleAt is when a session is over for not being used.
func (s *Sessions) IdleAt(held *accessv1.Session) time.Time {
	return held.GetLastSeenAt().AsTime().Add(s.o.Idle)
}

// List returns a person's sessions that are good, the newest first.
func (s *Sessions) List(id string) []*accessv1.Session {
	all := s.ofPerson(id)
	list := make([]*accessv1.Session, 0, len(all))
	for _, held := range all {
		if _, err := s.of(held.Session); err == nil {
			list = append(list, held.Session)
		}
	}
	return list
}

// ofPerson are all of a person's, the newest first.
func (s *Sessions) ofPerson(id string) []found {
	entries, _ := s.mirror.All()
	var all []found
	for hash, e := range entries {
		if e.Value.GetIdentityId() == id {
			all = append(all, found{e.Value, hash, e.Revision})
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		if c := b.GetCreatedAt().AsTime().Compare(a.GetCreatedAt().AsTime()); c != 0 {
			return c
		}
		return strings.Compare(a.hash, b.hash)
	})
	return all
}

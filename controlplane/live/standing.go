package live

import (
	"context"
	"maps"
	"sync"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// standings are those of the rollouts that are not over.
type standings struct {
	*view

	mu      sync.Mutex
	version int64
	byKey   map[string]*standing
}

type standing struct {
	version int64
	flag    string // that the rollout moves
	message *controlv1.RolloutStanding
}

// since calls f with the standings of later versions, and returns the newest version.
func (s *standings) since(version int64, f func(*standing)) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.byKey {
		if one.version > version {
			f(one)
		}
	}
	return s.version
}

// run looks at them again and again.
func (s *standings) run(ctx context.Context) {
	for {
		s.look(ctx)
		if !wait(ctx, s.o.LookEvery) {
			return
		}
	}
}

func (s *standings) look(ctx context.Context) {
	held := s.replica.Snapshot()
	if held == nil {
		return
	}
	found := make(map[string]assessed)
	for _, item := range held.Rollouts() {
		r, err := item.Rollout()
		if err != nil || !rollout.Active(r) {
			continue
		}
		a, err := s.o.Assess(ctx, s.environment, item.Key)
		if err != nil {
			s.o.Logger.Debug().Err(err).Str("environment", s.environment).Str("rollout", item.Key).Msg("how the evidence stands is not known")
			continue
		}
		if a != nil {
			found[item.Key] = assessed{a, r.GetFlagKey()}
		}
	}
	s.take(found)
}

// assessed is how the evidence of a rollout stands, and which flag it moves.
type assessed struct {
	*rolloutv1.Assessment
	flag string
}

// take makes what was found what streams see. A standing that is the same but for its time is
// the one before.
func (s *standings) take(found map[string]assessed) {
	s.mu.Lock()
	next := s.version + 1
	maps.DeleteFunc(s.byKey, func(key string, _ *standing) bool { return found[key].Assessment == nil })
	for key, a := range found {
		if was := s.byKey[key]; was == nil || !sameAssessment(was.message.GetAssessment(), a.Assessment) {
			s.byKey[key], s.version = &standing{next, a.flag, &controlv1.RolloutStanding{RolloutKey: key, Assessment: a.Assessment}}, next
		}
	}
	isNew := s.version == next
	s.mu.Unlock()
	if isNew {
		s.wake()
	}
}

func sameAssessment(a, b *rolloutv1.Assessment) bool {
	if a == b {
		return true
	}
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	a.Time, b.Time = nil, nil
	return proto.Equal(a, b)
}

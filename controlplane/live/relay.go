package live

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// agesEvery is how often relays that merely age are told again.
const agesEvery = 5 * time.Second

// relays are those that follow the environment.
type relays struct {
	*view

	mu          sync.Mutex
	version     int64
	byID        map[string]*relay
	unreachable []string
	told        time.Time // when all of them were
}

type relay struct {
	version int64
	message *controlv1.Relay
}

// since returns the relays of later versions, and ids of those that there are, with the newest
// version; nil: nothing is new.
func (r *relays) since(version int64) (next int64, all map[string]bool, changed []*controlv1.Relay, unreachable []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version == r.version {
		return version, nil, nil, nil
	}
	all = make(map[string]bool, len(r.byID))
	for id, one := range r.byID {
		all[id] = true
		if one.version > version {
			changed = append(changed, one.message)
		}
	}
	return r.version, all, changed, r.unreachable
}

// run looks at them again and again.
func (r *relays) run(ctx context.Context) {
	for {
		r.look(ctx)
		if !wait(ctx, r.o.LookEvery) {
			return
		}
	}
}

func (r *relays) look(ctx context.Context) {
	list, err := r.o.ListRelays(ctx, &controlv1.ListRelaysRequest{Environment: r.environment})
	if err != nil {
		r.o.Logger.Debug().Err(err).Str("environment", r.environment).Msg("which relays there are is not known")
		return
	}
	if r.take(list, time.Now()) {
		r.wake()
	}
}

// take makes a list what streams see; it tells whether that is new.
func (r *relays) take(list *controlv1.ListRelaysResponse, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, isNew := r.version+1, r.version == 0 || !slices.Equal(r.unreachable, list.GetUnreachableServers())
	aged := now.Sub(r.told) >= agesEvery
	if aged {
		r.told = now
	}
	there := make(map[string]bool, len(list.GetRelays()))
	for _, m := range list.GetRelays() {
		there[m.GetInstanceId()] = true
		if was := r.byID[m.GetInstanceId()]; was == nil || aged || !sameRelay(was.message, m) {
			r.byID[m.GetInstanceId()], isNew = &relay{next, m}, true
		}
	}
	before := len(r.byID)
	maps.DeleteFunc(r.byID, func(id string, _ *relay) bool { return !there[id] })
	if isNew = isNew || len(r.byID) < before; isNew {
		r.version, r.unreachable = next, list.GetUnreachableServers()
	}
	return isNew
}

// sameRelay tells whether two states of a relay differ by their ages alone.
func sameRelay(a, b *controlv1.Relay) bool { return proto.Equal(ageless(a), ageless(b)) }

// ageless is a relay without what changes as time goes by. That it lags stays, to the second.
func ageless(r *controlv1.Relay) *controlv1.Relay {
	r = proto.CloneOf(r)
	r.LastSeen = nil
	for _, e := range r.GetEnvironments() {
		e.Age = nil
		e.Lag = durationpb.New(e.GetLag().AsDuration().Truncate(time.Second))
	}
	return r
}

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// address is where a server is, as JSON.
type address struct {
	GRPC string `json:"grpc"`
	// SecretHash is of what the server presents to the others while it lives; empty, of a server
	// of an earlier version: it presents nothing.
	SecretHash []byte `json:"secretHash,omitempty"`
}

// IsServer tells whether somebody is a server of the cluster that lives: matches is asked
// whether what they present has a hash.
func (f *Fleet) IsServer(instanceID string, matches func(hash []byte) bool) bool {
	servers, _ := f.servers.All()
	one, there := servers[instanceID]
	return there && len(one.Value.SecretHash) > 0 && matches(one.Value.SecretHash)
}

// OtherServers are the addresses of the other servers of the cluster, by instance id.
func (f *Fleet) OtherServers() map[string]string {
	others := map[string]string{}
	if f.o.Advertise == "" {
		return others
	}
	servers, _ := f.servers.All()
	for id, e := range servers {
		if id != f.o.InstanceID {
			others[id] = e.Value.GRPC
		}
	}
	return others
}

// register keeps this server's address in the store until ctx ends.
func (f *Fleet) register(ctx context.Context) {
	interval := max(f.o.LeaseTTL/5, time.Millisecond)
	var lease store.LeaseID
	beat := time.NewTicker(interval)
	defer beat.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, f.o.LeaseTTL/2)
		next, err := f.keepRegistered(attempt, lease)
		cancel()
		lease = next
		if err != nil && ctx.Err() == nil {
			f.o.Logger.Warn().Err(err).Msg("the other servers of the cluster may not find this one; trying again")
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			f.unregister(lease) //nolint:contextcheck // ctx has ended, and nobody else says so
			return
		}
	}
}

// keepRegistered keeps the lease, or registers with a new one.
func (f *Fleet) keepRegistered(ctx context.Context, lease store.LeaseID) (store.LeaseID, error) {
	if lease != 0 {
		err := f.o.Store.KeepAlive(ctx, lease)
		if !errors.Is(err, store.ErrLeaseNotFound) {
			return lease, err
		}
	}
	lease, err := f.o.Store.Grant(ctx, f.o.LeaseTTL)
	if err != nil {
		return 0, err
	}
	value, err := json.Marshal(address{GRPC: f.o.Advertise, SecretHash: f.o.SecretHash})
	if err != nil {
		return 0, err
	}
	_, err = f.o.Store.Commit(ctx, store.Txn{Ops: []store.Op{store.PutLeased(serversRoot+f.o.InstanceID, value, lease)}})
	if err != nil {
		return 0, err
	}
	return lease, nil
}

func (f *Fleet) unregister(lease store.LeaseID) {
	if lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := f.o.Store.Revoke(ctx, lease); err != nil {
		f.o.Logger.Debug().Err(err).Msg("this server's registration is left to expire")
	}
}

// peers are the other servers, as one call follows them.
type peers struct {
	fleet       *Fleet
	environment string
	running     sync.WaitGroup
	// changed is signalled when one of them tells something, or fails to.
	changed chan struct{}

	mu   sync.Mutex
	byID map[string]*peer
}

// peer is one other server.
type peer struct {
	address string
	cancel  context.CancelFunc
	known   *members
	// answered is closed when everything was told once, or could not be.
	answered chan struct{}
	once     sync.Once
	current  bool // guarded by peers.mu
}

// ask begins to follow the other servers until ctx ends; then wait is to be called.
func (f *Fleet) ask(ctx context.Context, environment string) *peers {
	p := &peers{fleet: f, environment: environment, changed: make(chan struct{}, 1), byID: make(map[string]*peer)}
	p.find(ctx)
	return p
}

func (p *peers) wait() { p.running.Wait() }

// find follows servers that are new, until ctx ends, and no longer those that are gone.
func (p *peers) find(ctx context.Context) {
	if p.fleet.o.Advertise == "" {
		return
	}
	servers, _ := p.fleet.servers.All()
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, one := range p.byID {
		if servers[id].Value.GRPC != one.address {
			one.cancel()
			delete(p.byID, id)
		}
	}
	for id, e := range servers {
		if id == p.fleet.o.InstanceID || p.byID[id] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		one := &peer{address: e.Value.GRPC, cancel: cancel, known: newMembers(), answered: make(chan struct{})}
		p.byID[id] = one
		p.running.Go(func() { p.follow(ctx, one) })
	}
}

// follow asks one server until ctx ends.
func (p *peers) follow(ctx context.Context, one *peer) {
	defer one.cancel()
	for {
		err := p.fleet.o.Ask(ctx, one.address, &controlv1.WatchRelaysRequest{Environment: p.environment}, func(r *controlv1.WatchRelaysResponse) {
			p.take(one, r)
		})
		if ctx.Err() != nil {
			return
		}
		p.fleet.o.Logger.Debug().Err(err).Str("server", one.address).Msg("another server of the cluster does not tell its relays")
		p.lost(one)
		select {
		case <-time.After(p.fleet.o.PeerTimeout / 2):
		case <-ctx.Done():
			return
		}
	}
}

func (p *peers) take(one *peer, r *controlv1.WatchRelaysResponse) {
	now := time.Now()
	one.known.edit(func(byID map[string]*member) {
		for _, relay := range r.GetRelays() {
			byID[relay.GetInstanceId()] = fromRelay(relay, now)
		}
		for _, id := range r.GetGone() {
			delete(byID, id)
		}
	})
	if r.GetCurrent() {
		p.settle(one, true)
	}
	p.wake()
}

// lost notes that a server no longer answers: what it told last is the past.
func (p *peers) lost(one *peer) {
	one.known.edit(func(byID map[string]*member) {
		for id, m := range byID {
			byID[id] = m.gone(nil)
		}
	})
	p.settle(one, false)
	p.wake()
}

func (p *peers) settle(one *peer, current bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one.current = current
	one.once.Do(func() { close(one.answered) })
}

func (p *peers) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// settled waits until all have answered, or had the time to.
func (p *peers) settled(ctx context.Context) error {
	late := time.NewTimer(p.fleet.o.PeerTimeout)
	defer late.Stop()
	p.mu.Lock()
	waiting := make([]*peer, 0, len(p.byID))
	for _, one := range p.byID {
		waiting = append(waiting, one)
	}
	p.mu.Unlock()
	for _, one := range waiting {
		select {
		case <-one.answered:
		case <-late.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-p.fleet.stopped:
			return ErrStopped
		}
	}
	return nil
}

// known returns what the servers told, and which of them did not answer.
func (p *peers) known() (all []*member, unreachable []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, one := range p.byID {
		told, _ := one.known.all()
		all = append(all, told...)
		if !one.current {
			unreachable = append(unreachable, id)
		}
	}
	slices.Sort(unreachable)
	return all, unreachable
}

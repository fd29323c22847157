// Package fleet knows every relay of a cluster: those below this server, those below the
// other servers, and those that were there and did not say that they stop. It answers
// FleetService.
//
// Each server keeps what its own tree reports in memory, and asks the others when it is
// asked itself. What must outlive a server is in the store, under two prefixes:
//
//	/tidegate/v1/relays/INSTANCE_ID   the relay exists; where it runs and what it follows.
//	                                  Written when that changes, deleted when it leaves, is
//	                                  forgotten, or was silent for long
//	/tidegate/v1/servers/INSTANCE_ID  the server lives, and where; leased
//
// Every server watches both. So a relay whose server died is missed by the others at once,
// and nothing is written for what relays acknowledge.
//
// It knows no transport: package server asks the others over gRPC.
package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/mirror"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/tree"
)

const (
	relaysRoot  = "/tidegate/v1/relays/"
	serversRoot = "/tidegate/v1/servers/"
)

var (
	// ErrStopped says that this server shuts down: ask another.
	ErrStopped = errors.New("this server shuts down: ask another")
	// ErrEpoch says that revisions from before mean nothing any more.
	ErrEpoch = errors.New("the store has a new epoch: it was restored or made anew, and its revisions are others")
)

// Ask opens WatchRelays on the server at the address and passes on what comes, until that
// ends or ctx does. It returns why.
type Ask func(ctx context.Context, address string, r *controlv1.WatchRelaysRequest, take func(*controlv1.WatchRelaysResponse)) error

// Options of a Fleet.
type Options struct {
	Store    store.Store  // required
	Replicas *replica.Set // required
	// Tree is what is below this server; required.
	Tree *tree.Tree
	// InstanceID of this server; required.
	InstanceID string
	// Advertise is the gRPC address at which the other servers of the cluster reach this
	// one. Empty: there are no others.
	Advertise string
	Ask       Ask // required with Advertise
	// SecretHash is of what Ask presents to the others.
	SecretHash []byte
	// Retain is how long a silent relay is remembered; default 1 h.
	Retain time.Duration
	// PeerTimeout is how long another server may take to answer; default 1 s.
	PeerTimeout time.Duration
	// LeaseTTL is how long the cluster takes a silent server for alive; default 15 s.
	LeaseTTL   time.Duration
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil
}

// Fleet answers FleetService. Its methods may be called from any goroutine.
type Fleet struct {
	o         Options
	histories histories
	local     *members
	relays    *mirror.Mirror[record]
	servers   *mirror.Mirror[address]
	dirty     *dirty
	stopped   chan struct{}
}

// New makes a Fleet; Run brings it to life.
func New(o Options) (*Fleet, error) {
	if o.Store == nil || o.Replicas == nil || o.Tree == nil || o.InstanceID == "" || o.Advertise != "" && o.Ask == nil {
		return nil, errors.New("fleet: Options.Store, Replicas, Tree and InstanceID are required, and Ask with Advertise")
	}
	o.Retain = cmp.Or(o.Retain, time.Hour)
	o.PeerTimeout = cmp.Or(o.PeerTimeout, time.Second)
	o.LeaseTTL = cmp.Or(o.LeaseTTL, 15*time.Second)
	f := &Fleet{
		o: o, histories: histories{replicas: o.Replicas, byID: make(map[string]*history)},
		local: newMembers(),
		dirty: newDirty(), stopped: make(chan struct{}),
	}
	f.relays = newMirror[record](o, relaysRoot, func(id string) {
		if m := f.local.get(id); m != nil && m.connected {
			f.dirty.add(id, false) // somebody else took it for gone
		}
	})
	f.servers = newMirror[address](o, serversRoot, nil)
	if o.Registerer != nil {
		if err := o.Registerer.Register(collector{f}); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// newMirror mirrors JSON of a T.
func newMirror[T any](o Options, prefix string, deleted func(rest string)) *mirror.Mirror[T] {
	return mirror.New(mirror.Options[T]{
		Store: o.Store, Prefix: prefix, Logger: o.Logger, Deleted: deleted,
		Decode: func(kv store.KV) (value T, err error) {
			err = json.Unmarshal(kv.Value, &value)
			return value, err
		},
	})
}

// Run keeps what is known up to date until ctx ends. Calls that wait then end with
// ErrStopped. It is called once.
func (f *Fleet) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	defer close(f.stopped)
	tasks := []func(context.Context){f.histories.run, f.relays.Run, f.watchTree, f.writeRecords, f.sweep}
	if f.o.Advertise != "" {
		tasks = append(tasks, f.servers.Run, f.register)
	}
	for _, task := range tasks {
		running.Go(func() { task(ctx) })
	}
	<-ctx.Done()
}

const (
	// agesEvery is how often relays that merely age are looked at.
	agesEvery = time.Second
)

// watchTree takes in what this server's tree reports.
func (f *Fleet) watchTree(ctx context.Context) {
	reports := f.o.Tree.Subscribe()
	defer reports.Close()
	ages := time.NewTicker(agesEvery)
	defer ages.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reports.Changed():
		case <-ages.C:
		}
		f.takeReports(reports)
	}
}

func (f *Fleet) takeReports(reports *tree.Subscription) {
	now := time.Now()
	for r := reports.Take(); r != nil; r = reports.Take() {
		f.local.edit(func(byID map[string]*member) {
			for _, s := range r.GetRelays() {
				next := fromStatus(s, f.o.InstanceID, now)
				if was := byID[next.id]; was == nil || !was.connected || recordOf(was).differs(recordOf(next)) {
					f.dirty.add(next.id, false)
				}
				byID[next.id] = next
			}
			for _, d := range r.GetDepartures() {
				switch was := byID[d.GetInstanceId()]; {
				case d.GetLeft():
					delete(byID, d.GetInstanceId())
					f.dirty.add(d.GetInstanceId(), true)
				case was != nil:
					gone := was.gone(d.GetRevoked())
					byID[gone.id] = gone
					if recordOf(was).differs(recordOf(gone)) {
						f.dirty.add(gone.id, false)
					}
				}
			}
		})
	}
}

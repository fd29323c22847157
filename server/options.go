package server

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
)

// Default listening addresses.
const (
	DefaultGRPCAddr = "127.0.0.1:7013"
	DefaultHTTPAddr = "127.0.0.1:7014"
)

const (
	defaultDrain = 5 * time.Second
	// startTimeout bounds the wait for the store: a cluster may be electing its leader.
	startTimeout = 30 * time.Second
	// slowStart is when that wait is worth a word: an embedded store's first start waits for
	// its disk some 25 times.
	slowStart = 2 * time.Second
	// maxMessage has room for what a team keeps in files: Apply previews any number.
	maxMessage = 16 << 20
)

// DefaultEnvironments are made in a store that has none of their names.
func DefaultEnvironments() []string { return []string{"dev", "staging", "production"} }

// Options of a Server.
type Options struct {
	// DataDir holds the embedded etcd and the instance id. Required without
	// EtcdEndpoints; with them it only holds the instance id, and may be empty.
	DataDir string
	// EtcdEndpoints of an external cluster (HOST:PORT or URL). Empty: etcd is embedded.
	EtcdEndpoints []string
	// Store to use in place of both; the server closes it.
	Store store.Store
	// GRPCAddr serves the control and sync services, HTTPAddr the same with JSON, and
	// /healthz, /readyz and /metrics. Port 0 picks a free one.
	GRPCAddr, HTTPAddr string
	// AdvertiseAddr is where the other servers of an external cluster reach this one's
	// GRPCAddr. Default: GRPCAddr, with the host's name where it names none. Servers that
	// share a Store that was given are a cluster if they have it.
	AdvertiseAddr string
	// Environments that there shall be. Default: DefaultEnvironments.
	Environments []string
	// InstanceID tells relays who serves them; stable over restarts. Default: the one
	// kept in DataDir, else made of the host's name and the gRPC address.
	InstanceID string
	// RequireKeys: who follows must present a key that opens the environment ('tidegate key
	// create'). Without it, a key that is presented must be good all the same.
	RequireKeys bool
	// Notify are who is told of what becomes of rollouts. Servers of one cluster have the same.
	Notify []notify.Target
	// StreamLog is a file in which all that is shown is written down, for tests and the
	// analysis of incidents; see package streamlog. Empty: none.
	StreamLog string
	// Drain bounds the wait for calls in flight at shutdown. Default 5 s.
	Drain  time.Duration
	Logger zerolog.Logger
	// Registry gets the server's metrics and is served at /metrics. Default: its own.
	Registry *prometheus.Registry
}

func (o *Options) ensureDefaults() {
	setDefault(&o.GRPCAddr, DefaultGRPCAddr)
	setDefault(&o.HTTPAddr, DefaultHTTPAddr)
	setDefault(&o.Drain, defaultDrain)
	if len(o.Environments) == 0 {
		o.Environments = DefaultEnvironments()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
		o.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
}

// validate reports everything that is wrong.
func (o *Options) validate() error {
	var errs []error
	if o.DataDir == "" && len(o.EtcdEndpoints) == 0 && o.Store == nil {
		errs = append(errs, errors.New("neither a data directory nor etcd endpoints: one of them holds the flags"))
	}
	for _, l := range []struct{ name, addr string }{{"gRPC", o.GRPCAddr}, {"HTTP", o.HTTPAddr}} {
		if _, _, err := net.SplitHostPort(l.addr); err != nil {
			errs = append(errs, fmt.Errorf("%s address %q: want HOST:PORT, such as %s", l.name, l.addr, DefaultGRPCAddr))
		}
	}
	if a := o.AdvertiseAddr; a != "" {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("advertised address %q: want HOST:PORT at which the other servers reach this one, such as control-1:7013", a))
		}
	}
	for i, e := range o.EtcdEndpoints {
		if e == "" {
			errs = append(errs, fmt.Errorf("etcd endpoint %d is empty: want HOST:PORT or a URL", i+1))
		}
	}
	return errors.Join(errs...)
}

// clustered tells whether there may be other servers on the same store.
func (o *Options) clustered() bool {
	return len(o.EtcdEndpoints) > 0 || o.Store != nil && o.AdvertiseAddr != ""
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

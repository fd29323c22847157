package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/session"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/tlsfiles"
	"github.com/tidegate/tidegate/server/openid"
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
	// Open: nobody who calls the control services is asked who they are, and everybody may
	// everything. Without it, a store that has no identities yet gets an administrator, whose
	// secret FirstSecret tells.
	Open bool
	// Dashboard are the files of the web app, which HTTPAddr serves; nil: there is none.
	Dashboard fs.FS
	// ResetAdministrator gives the administrator another secret, and makes one where there is
	// none: for whoever lost it, and has the store.
	ResetAdministrator bool
	// TLS that both addresses serve with; empty: none. Services that present a certificate which
	// its ClientCA signed are found by its names.
	TLS tlsfiles.ServerFiles
	// TLSCA signs the other servers' certificates, where there is TLS. Empty: whom the system
	// trusts.
	TLSCA string
	// SessionIdle is how long a person stays logged in who does nothing, SessionLast how long
	// anybody does. Default: 30 min and 12 h.
	SessionIdle, SessionLast time.Duration
	// OpenID is the provider that people log in through; all empty: none.
	OpenID openid.Options
	// RequireKeys: who follows must present a key that opens the environment ('tidegate key
	// create'). Without it, a key that is presented must be good all the same. Implied unless
	// Open.
	RequireKeys bool
	// Notify are who is told of what becomes of rollouts. Servers of one cluster have the same.
	Notify []notify.Target
	// SealEvery is how often the audit trails are sealed while this server leads, where something
	// was written: what may be lost unseen. Default 1 s.
	SealEvery time.Duration
	// AuditLog is a file in which this server writes every entry of the audit trails, a line of
	// JSON each; see audit.File. Empty: none.
	AuditLog string
	// AuditLogBytes is how large it grows before another one is begun. Default 100 MiB.
	AuditLogBytes int64
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
	setDefault(&o.SessionIdle, session.DefaultIdle)
	setDefault(&o.SessionLast, session.DefaultLast)
	if len(o.Environments) == 0 {
		o.Environments = DefaultEnvironments()
	}
	o.RequireKeys = o.RequireKeys || !o.Open
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
	if o.OpenID != (openid.Options{}) {
		errs = append(errs, o.OpenID.Validate())
	}
	if o.SessionIdle < 0 || o.SessionLast < 0 {
		errs = append(errs, fmt.Errorf("sessions of %v, %v without use: want how long a person stays logged in", o.SessionLast, o.SessionIdle))
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

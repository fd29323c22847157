package clientsdk

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Defaults of the options.
const (
	// DefaultStaleAfter leaves room for a chain of relays, each a heartbeat (5 s) behind
	// the one before.
	DefaultStaleAfter = 30 * time.Second
	// DefaultStartTimeout bounds how long NewInProcess waits for a first snapshot.
	DefaultStartTimeout = 5 * time.Second
	// DefaultTimeout bounds an evaluation by a relay.
	DefaultTimeout = 500 * time.Millisecond
)

// InProcessOption is an option of NewInProcess.
type InProcessOption interface{ inProcess(*inProcessConfig) }

// RemoteOption is an option of NewRemote.
type RemoteOption interface{ remote(*remoteConfig) }

// OfflineOption is an option of NewOffline.
type OfflineOption interface{ offline(*config) }

// Option is an option of NewInProcess and NewRemote.
type Option interface {
	InProcessOption
	RemoteOption
}

// LocalOption is an option of the clients that evaluate in the process: NewInProcess and
// NewOffline.
type LocalOption interface {
	InProcessOption
	OfflineOption
}

// AnyOption is an option of every client.
type AnyOption interface {
	Option
	OfflineOption
}

// config is what the modes have in common.
type config struct {
	addresses   []string
	environment string
	credentials credentials.TransportCredentials
	dialOptions []grpc.DialOption
	staleAfter  time.Duration
	observe     Observer
	// observeTracked may be nil.
	observeTracked TrackObserver
	noTelemetry    bool
	logger         zerolog.Logger
	region         string
	clock          func() time.Time
	key, keyFile   string
}

type inProcessConfig struct {
	config
	startTimeout time.Duration
	stateDir     string
	instanceID   string
	streamLog    string
}

type remoteConfig struct {
	config
	timeout time.Duration
	stream  bool
}

type option func(*config)

func (o option) inProcess(c *inProcessConfig) { o(&c.config) }
func (o option) remote(c *remoteConfig)       { o(&c.config) }
func (o option) offline(c *config)            { o(c) }

type offlineOption func(*config)

func (o offlineOption) offline(c *config) { o(c) }

type inProcessOption func(*inProcessConfig)

func (o inProcessOption) inProcess(c *inProcessConfig) { o(c) }

type remoteOption func(*remoteConfig)

func (o remoteOption) remote(c *remoteConfig) { o(c) }

// WithAddresses adds upstreams (HOST:PORT) to be tried in turn when those before do not
// answer.
func WithAddresses(addresses ...string) Option {
	return option(func(c *config) { c.addresses = append(c.addresses, addresses...) })
}

// WithTLS secures the connection. Without it, connections are in plain text.
func WithTLS(t *tls.Config) Option {
	return option(func(c *config) { c.credentials = credentials.NewTLS(t) })
}

// WithDialOptions adds gRPC options, such as interceptors; they override the SDK's own.
func WithDialOptions(options ...grpc.DialOption) Option {
	return option(func(c *config) { c.dialOptions = append(c.dialOptions, options...) })
}

// WithStaleAfter sets for how long a snapshot counts as current without being confirmed
// by the store; answers from an older one have the reason STALE. 0: for ever. Default:
// DefaultStaleAfter.
func WithStaleAfter(d time.Duration) Option {
	return option(func(c *config) { c.staleAfter = d })
}

// WithObserver adds what is called after each evaluation, in the order of the options.
func WithObserver(o Observer) AnyOption {
	return option(func(c *config) { c.observe = c.observe.then(o) })
}

// WithTrackObserver adds what is called with each observation that is tracked, in the order of
// the options.
func WithTrackObserver(o TrackObserver) AnyOption {
	return option(func(c *config) { c.observeTracked = c.observeTracked.then(o) })
}

// WithoutTelemetry has the client count nothing and send nothing: what is tracked goes to
// observers alone.
func WithoutTelemetry() Option {
	return option(func(c *config) { c.noTelemetry = true })
}

// WithLogger sets the logger. By default nothing is logged.
func WithLogger(l zerolog.Logger) Option {
	return option(func(c *config) { c.logger = l })
}

// WithStartTimeout sets how long NewInProcess waits for a first snapshot before it
// returns a client that serves defaults until there is one. 0: not at all. Default:
// DefaultStartTimeout.
func WithStartTimeout(d time.Duration) InProcessOption {
	return inProcessOption(func(c *inProcessConfig) { c.startTimeout = d })
}

// WithStateDir keeps the flags in a directory, so that the process starts with them when
// no upstream answers. A directory serves one process at a time.
func WithStateDir(dir string) InProcessOption {
	return inProcessOption(func(c *inProcessConfig) { c.stateDir = dir })
}

// WithInstanceID names this process towards upstreams: unique, and the same after a
// restart. Default: the one kept in the state directory, else a random one.
func WithInstanceID(id string) InProcessOption {
	return inProcessOption(func(c *inProcessConfig) { c.instanceID = id })
}

// WithStreamLog writes down in a file all that this process shows of the environment, for
// tests and the analysis of incidents: slow, and without bound. The file is this
// process's own, and is appended to over restarts.
func WithStreamLog(path string) InProcessOption {
	return inProcessOption(func(c *inProcessConfig) { c.streamLog = path })
}

// WithRegion says where this process runs: rules read it as '$tidegate.region', and
// upstreams are told for people and metrics. A remote client's is that of its relay.
func WithRegion(region string) LocalOption {
	return option(func(c *config) { c.region = region })
}

// WithClock replaces the time that rules read as '$tidegate.timeOfDay',
// '$tidegate.weekday' and '$flagd.timestamp', so that a test can choose it. It is called
// by several goroutines, for flags that read the time.
func WithClock(now func() time.Time) OfflineOption {
	return offlineOption(func(c *config) { c.clock = now })
}

// WithTimeout bounds each evaluation; the caller's context may end it sooner. Default:
// DefaultTimeout.
func WithTimeout(d time.Duration) RemoteOption {
	return remoteOption(func(c *remoteConfig) { c.timeout = d })
}

// WithStream sends all evaluations over one stream instead of one call each: several
// times as many a second, for callers with many goroutines that evaluate all the time.
func WithStream() RemoteOption {
	return remoteOption(func(c *remoteConfig) { c.stream = true })
}

func newConfig(address, environment string) config {
	return config{
		addresses:   []string{address},
		environment: environment,
		credentials: insecure.NewCredentials(),
		staleAfter:  DefaultStaleAfter,
		logger:      zerolog.Nop(),
		clock:       time.Now,
	}
}

func newInProcessConfig(address, environment string, options []InProcessOption) (inProcessConfig, error) {
	c := inProcessConfig{config: newConfig(address, environment), startTimeout: DefaultStartTimeout}
	for _, o := range options {
		o.inProcess(&c)
	}
	errs := c.check()
	if environment == "" {
		errs = append(errs, errors.New("no environment: want a name such as production"))
	}
	if c.startTimeout < 0 {
		errs = append(errs, fmt.Errorf("start timeout %v: want a positive duration, or 0 not to wait", c.startTimeout))
	}
	return c, configError("in-process", errs)
}

func newRemoteConfig(address, environment string, options []RemoteOption) (remoteConfig, error) {
	c := remoteConfig{config: newConfig(address, environment), timeout: DefaultTimeout}
	for _, o := range options {
		o.remote(&c)
	}
	errs := c.check()
	if c.timeout <= 0 {
		errs = append(errs, fmt.Errorf("timeout %v: want a positive duration", c.timeout))
	}
	return c, configError("remote", errs)
}

func (c *config) check() []error {
	var errs []error
	for i, a := range c.addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("address %q: want HOST:PORT of a tidegate relay or server, such as 127.0.0.1:8013", a))
		} else if slices.Contains(c.addresses[:i], a) {
			errs = append(errs, fmt.Errorf("address %q is named twice", a))
		}
	}
	if c.staleAfter < 0 {
		errs = append(errs, fmt.Errorf("stale after %v: want a positive duration, or 0 for never", c.staleAfter))
	}
	return append(errs, c.checkKey()...)
}

func configError(mode string, errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("clientsdk: %s client: %w", mode, errors.Join(errs...))
}

// dial returns the options that secure a connection.
func (c *config) dial() []grpc.DialOption {
	return append([]grpc.DialOption{grpc.WithTransportCredentials(c.credentials)}, c.dialOptions...)
}

func randomInstanceID() string { return "sdk-" + uuid.NewString() }

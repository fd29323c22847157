package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
)

const (
	defaultDrain = 5 * time.Second
	// politeEnd is how long streams may take to end by themselves once the server drains.
	politeEnd         = 500 * time.Millisecond
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
)

// HTTPListener is one HTTP address and what is served there.
type HTTPListener struct {
	Listener net.Listener
	Handler  http.Handler
	// Origins are the web origins whose pages may call it; "*" is any.
	Origins []string
	// Plain: it is served without TLS, whatever the server has.
	Plain bool
}

// ServeOptions says where a server listens, and how it ends.
type ServeOptions struct {
	// GRPC are served by the gRPC server.
	GRPC []net.Listener
	// HTTP are served over HTTP/1.1 and HTTP/2. Cross-origin requests that
	// could change something are refused, but for those of allowed origins.
	HTTP []HTTPListener
	// Drain, if not nil, is called when the server is to end, once health says
	// NOT_SERVING and before connections are told to go: streams end politely from here.
	Drain func()
	// DrainTimeout bounds the time from then until everything is cut. Default 5 s.
	DrainTimeout time.Duration
}

// Why it is worth a warning that other machines reach a listener.
const (
	NobodyAsked = "no identities are configured: anyone who reaches this address may use it"
	NoTLS       = "no TLS: whoever sees the traffic to this address sees the secrets in it"
)

// WarnReachable says which of the listeners can be reached from other machines, and why that is
// worth a warning.
func WarnReachable(l zerolog.Logger, why string, listeners ...net.Listener) {
	for _, listener := range listeners {
		if a, ok := listener.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
			l.Warn().Stringer("address", a).Msg(why)
		}
	}
}

// Serve serves until ctx ends or a listener fails, and owns the listeners. Then health
// turns to NOT_SERVING, Drain runs, new calls are refused, streams that are still open
// after half a second get their contexts cancelled (the caller sees UNAVAILABLE), and
// whatever is left at DrainTimeout is cut. It returns nil if ctx ended it.
func (s *Server) Serve(ctx context.Context, o ServeOptions) error {
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = defaultDrain
	}
	// Requests outlive ctx: they get the time to end.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()

	failed := make(chan error, len(o.GRPC)+len(o.HTTP))
	var running sync.WaitGroup
	for _, l := range o.GRPC {
		running.Go(func() {
			if err := s.GRPC.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				failed <- fmt.Errorf("serve gRPC on %s: %w", l.Addr(), err)
			}
		})
	}
	servers := make([]*http.Server, len(o.HTTP))
	for i, h := range o.HTTP {
		servers[i] = s.httpServer(base, h)
		running.Go(func() {
			if err := serveHTTP(servers[i], h.Listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve HTTP on %s: %w", h.Listener.Addr(), err)
			}
		})
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.drain(o, servers, cut) //nolint:contextcheck // ctx has ended; the drain has a bound of its own
	running.Wait()
	return err
}

func (s *Server) drain(o ServeOptions, servers []*http.Server, cut context.CancelFunc) {
	bound, release := context.WithTimeout(context.Background(), o.DrainTimeout)
	defer release()
	s.draining.Store(true)
	s.Health.Shutdown()
	if o.Drain != nil {
		o.Drain()
	}
	end := time.AfterFunc(min(politeEnd, o.DrainTimeout/2), func() { s.endStreams(errDraining) })
	defer end.Stop()

	var ended sync.WaitGroup
	ended.Go(func() {
		stopped := make(chan struct{})
		go func() { s.GRPC.GracefulStop(); close(stopped) }()
		select {
		case <-stopped:
		case <-bound.Done():
			s.GRPC.Stop()
			<-stopped
		}
	})
	for _, h := range servers {
		ended.Go(func() {
			if h.Shutdown(bound) != nil {
				cut()
				_ = h.Close() // nothing is left to be told
			}
		})
	}
	ended.Wait()
	s.endStreams(errDraining)
}

func serveHTTP(server *http.Server, l net.Listener) error {
	if server.TLSConfig != nil {
		return server.ServeTLS(l, "", "")
	}
	return server.Serve(l)
}

func (s *Server) httpServer(base context.Context, l HTTPListener) *http.Server {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	var secured *tls.Config
	if s.options.TLS != nil && !l.Plain {
		secured = s.options.TLS.HTTP()
	}
	return &http.Server{
		TLSConfig:         secured,
		Handler:           crossOrigin(l.Handler, l.Origins),
		Protocols:         &p,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: keepaliveTime, PingTimeout: keepaliveAnswer},
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          stdlog.New(s.options.Logger.With().Str("from", "net/http").Logger(), "", 0),
	}
}

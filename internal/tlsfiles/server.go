package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/rs/zerolog"
)

// ServerFiles are what a process serves with.
type ServerFiles struct {
	// Cert and Key are the process's certificate. Both empty: no TLS.
	Cert, Key string
	// ClientCA signs callers' certificates. Empty: none is asked for.
	ClientCA string
	// RequireClient: who presents none is refused. Otherwise one that is presented must be good
	// all the same.
	RequireClient bool
}

// Enabled tells whether there is TLS.
func (f ServerFiles) Enabled() bool { return f != ServerFiles{} }

// Server serves with TLS.
type Server struct {
	files    ServerFiles
	followed *followed[loaded]
}

// loaded is what the files hold.
type loaded struct {
	certificate *tls.Certificate
	clients     *x509.CertPool
	// configs, by the protocol that is offered first, live as long as the files are as they are:
	// so callers can resume sessions.
	configs map[string]*tls.Config
}

// NewServer reads the files; nil: there is no TLS.
func NewServer(f ServerFiles, logger zerolog.Logger) (*Server, error) {
	if !f.Enabled() {
		return nil, nil
	}
	if f.Cert == "" || f.Key == "" {
		return nil, errPair
	}
	s := &Server{files: f}
	files := []string{f.Cert, f.Key}
	if f.ClientCA != "" {
		files = append(files, f.ClientCA)
	}
	var err error
	s.followed, err = follow(logger, s.load, files...)
	return s, err
}

func (s *Server) load() (l loaded, err error) {
	if l.certificate, err = (pair{s.files.Cert, s.files.Key}).load(); err != nil {
		return l, err
	}
	if s.files.ClientCA != "" {
		l.clients, err = authorities(s.files.ClientCA)
	}
	l.configs = map[string]*tls.Config{"h2": l.config(s.files, "h2"), "http/1.1": l.config(s.files, "h2", "http/1.1")}
	return l, err
}

func (l loaded) config(f ServerFiles, protocols ...string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*l.certificate}, NextProtos: protocols}
	if l.clients != nil {
		c.ClientCAs, c.ClientAuth = l.clients, tls.VerifyClientCertIfGiven
		if f.RequireClient {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	return c
}

// RequiresClient tells whether callers must present a certificate.
func (s *Server) RequiresClient() bool { return s.files.RequireClient }

// GRPC is what gRPC serves with.
func (s *Server) GRPC() *tls.Config { return s.config("h2") }

// HTTP is what net/http serves with.
func (s *Server) HTTP() *tls.Config { return s.config("http/1.1") }

func (s *Server) config(last string) *tls.Config {
	c := s.followed.get().configs[last].Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.followed.get().configs[last], nil }
	return c
}

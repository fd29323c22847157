package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// ClientFiles are what a process connects with.
type ClientFiles struct {
	// On: there is TLS, without any of the files, too.
	On bool
	// CA signs the servers' certificates. Empty: whom the system trusts.
	CA string
	// Cert and Key are the certificate to present to servers that ask for one; both may be
	// empty.
	Cert, Key string
}

// Enabled tells whether there is TLS.
func (f ClientFiles) Enabled() bool { return f != ClientFiles{} }

// Credentials are what gRPC connects with. The files are read again when they have changed.
func (f ClientFiles) Credentials(logger zerolog.Logger) (credentials.TransportCredentials, error) {
	if !f.Enabled() {
		return insecure.NewCredentials(), nil
	}
	c, err := f.config(logger)
	if err != nil {
		return nil, err
	}
	made := credentials.NewTLS(c)
	if f.CA == "" {
		return made, nil
	}
	roots, err := follow(logger, func() (*x509.CertPool, error) { return authorities(f.CA) }, f.CA)
	return trusting{made, c, roots}, err
}

// trusting are credentials that trust whom a file names at the time.
type trusting struct {
	credentials.TransportCredentials
	config *tls.Config
	roots  *followed[*x509.CertPool]
}

// ClientHandshake implements credentials.TransportCredentials.
func (t trusting) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := t.config.Clone()
	c.RootCAs = t.roots.get()
	return credentials.NewTLS(c).ClientHandshake(ctx, authority, conn)
}

// Clone implements credentials.TransportCredentials.
func (t trusting) Clone() credentials.TransportCredentials {
	return trusting{t.TransportCredentials.Clone(), t.config.Clone(), t.roots}
}

func (f ClientFiles) config(logger zerolog.Logger) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if f.CA != "" {
		if c.RootCAs, err = authorities(f.CA); err != nil {
			return nil, err
		}
	}
	switch p := (pair{f.Cert, f.Key}); {
	case p == pair{}:
	case f.Cert == "" || f.Key == "":
		return nil, errPair
	default:
		certificate, err := follow(logger, p.load, f.Cert, f.Key)
		if err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate.get(), nil }
	}
	return c, nil
}

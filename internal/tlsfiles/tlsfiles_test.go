package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/tlsfiles/tlstest"
)

var tomorrow = time.Now().Add(24 * time.Hour)

// handshake connects the two, and returns what each saw of the other.
func handshake(t *testing.T, server, client *tls.Config) (seen tls.ConnectionState, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		s := tls.Server(conn, server)
		err = s.Handshake()
		seen = s.ConnectionState()
		served <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		defer conn.Close()
	}
	err = errors.Join(err, <-served) // what the other saw is written by then
	return seen, err
}

func client(t *testing.T, f ClientFiles) *tls.Config {
	t.Helper()
	c, err := f.config(zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	c.NextProtos = []string{"h2"}
	return c
}

func newServer(t *testing.T, f ServerFiles, said *bytes.Buffer) *Server {
	t.Helper()
	s, err := NewServer(f, zerolog.New(said))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// look has the files looked at with the next connection.
func (f *followed[T]) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = time.Time{}
}

// TestRenewed: what is renewed is used from the next connection on, by configurations that were
// made before; what is broken is not.
func TestRenewed(t *testing.T) {
	ca, next := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	files := ca.Issue(tomorrow)
	var said bytes.Buffer
	s := newServer(t, ServerFiles{Cert: files.Cert, Key: files.Key}, &said)
	grpc, http := s.GRPC(), s.HTTP()
	expect := func(when string, good, bad *tlstest.Authority) {
		t.Helper()
		for _, config := range []*tls.Config{grpc, http} {
			s.followed.look()
			if _, err := handshake(t, config, client(t, ClientFiles{CA: good.File})); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			if _, err := handshake(t, config, client(t, ClientFiles{CA: bad.File})); err == nil {
				t.Errorf("%s: trusted whom it should not", when)
			}
		}
	}
	expect("at first", ca, next)
	whole, err := os.ReadFile(files.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.Cert, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	expect("while it is half written", ca, next)
	if n := strings.Count(said.String(), "using what was there before"); n != 1 {
		t.Errorf("said %d times that it is broken: %s", n, said.String())
	}
	if err := os.Remove(files.Cert); err != nil {
		t.Fatal(err)
	}
	expect("while it is not there", ca, next)
	next.Renew(files, tomorrow)
	expect("renewed", next, ca)
}

// TestClients: a certificate that is presented must be good, and there must be one where that is
// required.
func TestClients(t *testing.T) {
	ca, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	files, good, forged, expired := ca.Issue(tomorrow), ca.Issue(tomorrow, "robot.example.com"), other.Issue(tomorrow, "robot.example.com"), ca.Issue(time.Now().Add(-time.Minute), "robot.example.com")
	for name, c := range map[string]struct {
		presents        tlstest.Files
		given, required bool
	}{
		"none":                {tlstest.Files{}, true, false},
		"of the authority":    {good, true, true},
		"of another":          {forged, false, false},
		"one that is expired": {expired, false, false},
	} {
		for _, require := range []bool{false, true} {
			s := newServer(t, ServerFiles{Cert: files.Cert, Key: files.Key, ClientCA: ca.File, RequireClient: require}, new(bytes.Buffer))
			seen, err := handshake(t, s.GRPC(), client(t, ClientFiles{CA: ca.File, Cert: c.presents.Cert, Key: c.presents.Key}))
			want := c.given
			if require {
				want = c.required
			}
			if (err == nil) != want {
				t.Errorf("%s, required %t: %v", name, require, err)
			}
			if err == nil && (len(seen.VerifiedChains) > 0) != (c.presents == good) {
				t.Errorf("%s: %d chains", name, len(seen.VerifiedChains))
			}
		}
	}
}

// TestClientRenewed: a client presents what the file holds now.
func TestClientRenewed(t *testing.T) {
	ca := tlstest.NewAuthority(t)
	files, mine := ca.Issue(tomorrow), ca.Issue(tomorrow, "before")
	s := newServer(t, ServerFiles{Cert: files.Cert, Key: files.Key, ClientCA: ca.File}, new(bytes.Buffer))
	certificate, err := follow(zerolog.Nop(), pair{mine.Cert, mine.Key}.load, mine.Cert, mine.Key)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, ClientFiles{CA: ca.File})
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate.get(), nil }
	for _, name := range []string{"before", "after"} {
		certificate.look()
		seen, err := handshake(t, s.GRPC(), c)
		if err != nil || seen.PeerCertificates[0].DNSNames[0] != name {
			t.Fatalf("%s: %v, %v", name, seen.PeerCertificates, err)
		}
		ca.Renew(mine, tomorrow, "after")
	}
}

// TestFiles: what is wrong is said, with the file.
func TestFiles(t *testing.T) {
	ca := tlstest.NewAuthority(t)
	files, other := ca.Issue(tomorrow), ca.Issue(tomorrow)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server ServerFiles
		client ClientFiles
		want   string
	}{
		"no key":               {ServerFiles{Cert: files.Cert}, ClientFiles{Cert: files.Cert}, "and its key"},
		"no certificate":       {ServerFiles{Key: files.Key}, ClientFiles{Key: files.Key}, "and its key"},
		"another key":          {ServerFiles{Cert: files.Cert, Key: other.Key}, ClientFiles{Cert: files.Cert, Key: other.Key}, files.Cert},
		"no such file":         {ServerFiles{Cert: "missing", Key: files.Key}, ClientFiles{Cert: "missing", Key: files.Key}, "missing"},
		"an empty authority":   {ServerFiles{Cert: files.Cert, Key: files.Key, ClientCA: empty}, ClientFiles{CA: empty}, empty},
		"an authority, alone":  {ServerFiles{ClientCA: ca.File}, ClientFiles{CA: "missing"}, ""},
		"an authority's a key": {ServerFiles{Cert: files.Cert, Key: files.Key, ClientCA: files.Key}, ClientFiles{CA: files.Key}, files.Key},
	} {
		if _, err := NewServer(c.server, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("server, %s: %v", name, err)
		}
		if _, err := c.client.Credentials(zerolog.Nop()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("client, %s: %v", name, err)
		}
	}
	if s, err := NewServer(ServerFiles{}, zerolog.Nop()); s != nil || err != nil {
		t.Errorf("without files: %v, %v", s, err)
	}
	if c, err := (ClientFiles{}).Credentials(zerolog.Nop()); err != nil || c.Info().SecurityProtocol != "insecure" {
		t.Errorf("without files: %v, %v", c, err)
	}
}

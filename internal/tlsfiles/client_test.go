package tlsfiles

import (
	"bytes"
	"net"
	"os"
	"testing"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/credentials"

	"github.com/tidegate/tidegate/internal/tlsfiles/tlstest"
)

// TestAuthorityRenewed: a client trusts whom its file names now, and while that is broken whom it
// named before.
func TestAuthorityRenewed(t *testing.T) {
	before, after := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	old, renewed := before.Issue(tomorrow), after.Issue(tomorrow)
	made, err := ClientFiles{CA: before.File}.Credentials(zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	made = made.Clone() // as gRPC does
	trusts := func(files tlstest.Files) bool {
		t.Helper()
		made.(trusting).roots.look()
		return handshakeWith(t, made, newServer(t, ServerFiles{Cert: files.Cert, Key: files.Key}, new(bytes.Buffer))) == nil
	}
	if !trusts(old) || trusts(renewed) {
		t.Error("at first it trusts somebody else")
	}
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(before.File, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("-----BEGIN CERT"))
	if !trusts(old) || trusts(renewed) {
		t.Error("while the file is broken it trusts somebody else")
	}
	next, err := os.ReadFile(after.File)
	if err != nil {
		t.Fatal(err)
	}
	write(next)
	if trusts(old) || !trusts(renewed) {
		t.Error("it does not trust the new authority alone")
	}
}

// handshakeWith connects to a server as gRPC does.
func handshakeWith(t *testing.T, c credentials.TransportCredentials, s *Server) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	defer func() { <-served }()
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _, _ = credentials.NewTLS(s.GRPC()).ServerHandshake(conn) // the client tells
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _, err = c.ClientHandshake(t.Context(), l.Addr().String(), conn)
	return err
}

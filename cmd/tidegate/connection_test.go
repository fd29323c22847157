package main

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/tlsfiles"
	"github.com/tidegate/tidegate/internal/tlsfiles/tlstest"
	"github.com/tidegate/tidegate/server"
)

// onLoopback listens until the test ends, and gives each connection to serve.
func onLoopback(t *testing.T, address string, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-ended })
	return listener.Addr().String()
}

// TestNoConnection: whoever cannot connect is told why, and what would be right.
func TestNoConnection(t *testing.T) {
	ca := tlstest.NewAuthority(t)
	own := ca.Issue(time.Now().Add(time.Hour))
	secured, _ := runServer(t, server.Options{TLS: tlsfiles.ServerFiles{Cert: own.Cert, Key: own.Key}})
	overTLS := secured.GRPCAddr()
	plain := startServer(t).GRPCAddr()
	web := httptest.NewServer(nil)
	t.Cleanup(web.Close)
	overHTTP := strings.TrimPrefix(web.URL, "http://")
	silent := onLoopback(t, "127.0.0.1:0", func(conn net.Conn) { t.Cleanup(func() { _ = conn.Close() }) })
	pair, err := tls.LoadX509KeyPair(own.Cert, own.Key)
	if err != nil {
		t.Fatal(err)
	}
	renamed := onLoopback(t, "127.0.0.2:0", func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}).Handshake() // the caller refuses it
		_ = conn.Close()
	})
	for _, c := range []struct {
		args, says string
		code       int
	}{
		{"--server control-1", "--server control-1: the port is missing, as in control-1:7013", exitUsage},
		{"--server 127.0.0.1", "--server 127.0.0.1: the port is missing, as in 127.0.0.1:7013", exitUsage},
		{"--server ::1", "--server ::1: the port is missing, as in [::1]:7013", exitUsage},
		{"--server [::1]", "--server [::1]: the port is missing, as in [::1]:7013", exitUsage},
		{"--server a:b:c", "--server a:b:c: expected HOST:PORT, such as 127.0.0.1:7013", exitUsage},
		{"--server control-1:", "--server control-1:: the port must be a number from 1 to 65535, such as 7013", exitUsage},
		{"--server control-1:grpc!", "--server control-1:grpc!: the port must be a number from 1 to 65535, such as 7013", exitUsage},
		{"--server control-1:99999", "--server control-1:99999: the port must be a number from 1 to 65535, such as 7013", exitUsage},
		{"--server http://control-1:7014/flags", "expected HOST:PORT and no URL, such as --server control-1:7014", exitUsage},
		{"--server https://user:sekret@control-1:7014/x", "--server https://control-1:7014/x: expected HOST:PORT and no URL, such as --server control-1:7014 --tls", exitUsage},
		{"--server http://sek@ret@control-1", "--server http://control-1: expected HOST:PORT and no URL, such as --server control-1:7013", exitUsage},
		{"--server user:sek/ret@control-1:7013", "--server control-1:7013: expected HOST:PORT without a user or a password", exitUsage},
		{"--server sekret@control-1:7013", "--server control-1:7013: expected HOST:PORT without a user or a password", exitUsage},
		{"--server https://control-1", "expected HOST:PORT and no URL, such as --server control-1:7013 --tls", exitUsage},
		{"--server 127.0.0.1:1", "no server at 127.0.0.1:1: is it running? ('tidegate dev' starts everything)", exitFailure},
		{"--server passthrough:///127.0.0.1:1", "no server at passthrough:///127.0.0.1:1: is it running?", exitFailure},
		{"--server nowhere.invalid:7013", "no host is known by the name of nowhere.invalid:7013: is it right?", exitFailure},
		{"--server " + silent + " --timeout 100ms", silent + " does not answer at all: is the address right, and does a firewall let it through?", exitFailure},
		{"--server " + overHTTP, overHTTP + " answers HTTP/1.1, and no gRPC: control servers listen on port 7013, relays on 8013", exitFailure},
		{"--server " + overTLS, overTLS + " took the connection, and ended it: if it has TLS, pass --tls, or --tls-ca FILE", exitFailure},
		{"--server " + plain + " --tls", plain + " does not speak TLS: leave out --tls and what begins with it, and unset $TIDEGATE_TLS and what begins with that", exitFailure},
		{"--server " + overTLS + " --tls", "the certificate of " + overTLS + " is of an authority that is not trusted here: pass --tls-ca FILE with that authority", exitFailure},
		{"--server " + renamed + " --tls-ca " + ca.File, "the certificate of " + renamed + " is for another name (certificate is valid for 127.0.0.1, not 127.0.0.2)", exitFailure},
	} {
		for _, command := range []string{"flag list", "flag enable a --wait 0 -e production --reason r"} {
			code, _, stderr := execute(t.Context(), append(strings.Fields(command), strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(stderr, "error: "+c.says) && (code != exitUsage || !strings.Contains(stderr, c.says)) {
				t.Errorf("%s %s: %d\n%s", command, c.args, code, stderr)
			}
			if strings.Contains(stderr, "sek") || strings.Contains(stderr, "ret@") {
				t.Errorf("%s %s: the password is repeated\n%s", command, c.args, stderr)
			}
			if strings.Contains(stderr, "unknown: look at the history") {
				t.Errorf("%s %s: nothing was sent\n%s", command, c.args, stderr)
			}
		}
	}
	if _, _, stderr := execute(t.Context(), "relay", "list", "--server", "relay-1"); !strings.Contains(stderr, "as in relay-1:7013") {
		t.Error(stderr)
	}
	if _, _, stderr := execute(t.Context(), "evaluate", "a", "--relay", "relay-1"); !strings.Contains(stderr, "--relay relay-1: the port is missing, as in relay-1:8013") {
		t.Error(stderr)
	}
}

// TestNotAdmitted: whoever presents what is not good is told where it came from.
func TestNotAdmitted(t *testing.T) {
	s := startAskingServer(t)
	t.Setenv(serverVariable, s.GRPCAddr())
	t.Setenv(keyFileVariable, "")
	dir := t.TempDir()
	file := func(name, secret string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	admin := file("admin", s.FirstSecret())
	secret, stderr, code := command(t, "", "identity", "create", "brief", "--role", "viewer", "--expires", "1s", "--reason", "r", "--key-file", admin)
	if code != exitOK {
		t.Fatal(stderr)
	}
	brief := file("brief", secret)
	var expired string
	for deadline := time.Now().Add(time.Minute); expired == ""; time.Sleep(20 * time.Millisecond) {
		if _, stderr, code := command(t, "", "flag", "list", "--key-file", brief); code != exitOK {
			expired = stderr
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not expire")
		}
	}
	wrong := file("wrong", s.FirstSecret()[:len(s.FirstSecret())-4]+"AAAA")
	for _, c := range []struct{ got, says string }{
		{expired, "error: authorization: this identity has expired at "},
		{expired, "; the secret is that of " + brief + "\n"},
		{failing(t, "--key-file", wrong), "error: authorization: no identity has this secret: it was never one, or was rotated or taken back; the secret is that of " + wrong + "\n"},
		{failing(t, "--key-file", file("torn", "tgk_abc")), "--key-file " + filepath.Join(dir, "torn") + ": "},
		{failing(t, "--key-file", filepath.Join(dir, "none")), "--key-file: open " + filepath.Join(dir, "none") + ": no such file"},
		{failing(t), "error: say who you are: present a secret as 'authorization: Bearer SECRET' (tidegate login, --key-file, $TIDEGATE_KEY_FILE; 'tidegate identity create' makes one)\n"},
	} {
		if !strings.Contains(c.got, c.says) {
			t.Errorf("got  %swant %s", c.got, c.says)
		}
	}
}

// failing is what 'flag list' fails with.
func failing(t *testing.T, args ...string) string {
	t.Helper()
	_, stderr, code := command(t, "", append([]string{"flag", "list"}, args...)...)
	if code == exitOK {
		t.Errorf("%v: it worked", args)
	}
	return stderr
}

// TestMistypedNames: a name that is none is told with the one that was meant.
func TestMistypedNames(t *testing.T) {
	t.Setenv(serverVariable, startServer(t).GRPCAddr())
	t.Setenv("USER", "alice")
	for _, args := range []string{
		"apply -f testdata/cli/files/one.yaml -e production --reason r",
		"flag enable new-checkout -e production --wait 0 --reason r",
	} {
		if _, stderr, code := command(t, "", strings.Fields(args)...); code != exitOK {
			t.Fatal(stderr)
		}
	}
	for _, c := range []struct{ args, says string }{
		{"flag list -e prodction", `not found: environment "prodction" (there are: dev, production, staging); did you mean production?`},
		{"flag list -e nowhere", `not found: environment "nowhere" (there are: dev, production, staging)`},
		{"flag get new-chekcout", `not found: flag "new-chekcout" in environment "production"; did you mean new-checkout?`},
		{"flag disable new_checkout -e production --reason r", `not found: flag "new_checkout" in environment "production"; did you mean new-checkout?`},
		{"flag get nothing-like-it", `not found: flag "nothing-like-it" in environment "production"`},
		{"segment get staf", `not found: segment "staf" in environment "production"; did you mean staff?`},
		{"rollout status first", `not found: rollout "first" in environment "production"`},
	} {
		_, stderr, code := command(t, "", strings.Fields(c.args)...)
		if code != exitFailure || stderr != "error: "+c.says+"\n" {
			t.Errorf("%s: %d\n%swant %s", c.args, code, stderr, c.says)
		}
	}
}

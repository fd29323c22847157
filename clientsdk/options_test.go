package clientsdk_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tidegate/tidegate/clientsdk"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func TestInProcessIntroducesItself(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", true))
	inProcess(t, u.addr, clientsdk.WithInstanceID("shop-1"), clientsdk.WithRegion("eu-west"))
	f := u.hub.Followers()
	if len(f) != 1 || f[0].InstanceID != "shop-1" || f[0].Region != "eu-west" {
		t.Errorf("followers %+v", f)
	}
}

func TestRulesSeeTheRegion(t *testing.T) {
	u := newUpstream(t)
	f := boolean("a", false)
	f.Rules = []*flagv1.Rule{{
		Id: "europe", Clauses: []*flagv1.Clause{clause("$tidegate.region", flagv1.Operator_OPERATOR_IN, "eu-west")}, Outcome: serve("on"),
	}}
	u.put(f)
	for region, want := range map[string]bool{"eu-west": true, "us-east": false, "": false} {
		c := inProcess(t, u.addr, clientsdk.WithRegion(region))
		claim := clientsdk.User("u").With("$tidegate.region", "eu-west")
		if got := c.IsEnabled(context.Background(), "a", claim); got != want {
			t.Errorf("in %q: %t", region, got)
		}
	}
}

// Observers are added to each other.
func TestObservers(t *testing.T) {
	var called []string
	observer := func(name string) clientsdk.OfflineOption {
		return clientsdk.WithObserver(func(context.Context, clientsdk.Context, clientsdk.Resolution) { called = append(called, name) })
	}
	c := clientsdk.NewOffline(observer("a"), clientsdk.WithObserver(nil), observer("b"))
	c.IsEnabled(context.Background(), "f", clientsdk.Context{})
	if got := strings.Join(called, " "); got != "a b" {
		t.Errorf("called %q", got)
	}
}

func TestInProcessLogsAStartWithoutFlags(t *testing.T) {
	var logged bytes.Buffer
	c := inProcess(t, freeAddr(t), clientsdk.WithStartTimeout(time.Millisecond), clientsdk.WithLogger(zerolog.New(zerolog.SyncWriter(&logged))))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "serving defaults") {
		t.Errorf("log: %s", logged.String())
	}
}

func TestRemoteDialOptions(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	var calls atomic.Int32
	c := remote(t, f.addr, clientsdk.WithTimeout(patience), clientsdk.WithDialOptions(grpc.WithUnaryInterceptor(
		func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
			calls.Add(1)
			return invoke(ctx, method, in, out, cc, o...)
		})))
	if !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) || calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestRemoteTLS(t *testing.T) {
	certificate, roots := selfSigned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	evaluationv1.RegisterEvaluationServiceServer(server, newFakeRelay(t, boolean("a", true)))
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })

	ctx, addr := context.Background(), l.Addr().String()
	trusting := clientsdk.WithTLS(&tls.Config{RootCAs: roots})
	for name, tt := range map[string]struct {
		options []clientsdk.RemoteOption
		want    bool
	}{
		"trusted":        {[]clientsdk.RemoteOption{trusting}, true},
		"second address": {[]clientsdk.RemoteOption{trusting, clientsdk.WithAddresses(freeAddr(t))}, true},
		"not trusted":    {[]clientsdk.RemoteOption{clientsdk.WithTLS(&tls.Config{RootCAs: x509.NewCertPool()})}, false},
		"plain text":     {nil, false},
	} {
		c := remote(t, addr, append(tt.options, clientsdk.WithTimeout(patience))...)
		if d := c.BooleanDetails(ctx, "a", clientsdk.Context{}, false); d.Value != tt.want {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// selfSigned makes a certificate for 127.0.0.1 and a pool that trusts it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

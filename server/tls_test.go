package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/tlsfiles"
	"github.com/tidegate/tidegate/internal/tlsfiles/tlstest"
)

var tomorrow = time.Now().Add(24 * time.Hour)

// secured is a server with TLS, and the authority of its and of its callers' certificates.
type secured struct {
	*asking
	ca *tlstest.Authority
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	ca := tlstest.NewAuthority(t)
	own := ca.Issue(tomorrow)
	r := startAsking(t, Options{TLS: tlsfiles.ServerFiles{Cert: own.Cert, Key: own.Key, ClientCA: ca.File}})
	s := &secured{asking: &asking{running: r, admin: presenting(t.Context(), r.server.FirstSecret())}, ca: ca}
	s.identities = controlv1.NewIdentityServiceClient(s.dial(tlsfiles.ClientFiles{CA: ca.File}))
	return s
}

func (s *secured) dial(f tlsfiles.ClientFiles) *grpc.ClientConn {
	s.t.Helper()
	c, err := f.Credentials(zerolog.Nop())
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := grpc.NewClient(s.server.GRPCAddr(), grpc.WithTransportCredentials(c))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// presents is a connection of whoever has a certificate.
func (s *secured) presents(f tlstest.Files) *grpc.ClientConn {
	s.t.Helper()
	return s.dial(tlsfiles.ClientFiles{CA: s.ca.File, Cert: f.Cert, Key: f.Key})
}

func listWith(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := controlv1.NewFlagServiceClient(conn).ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: "production"})
	return err
}

// robot makes a service that certificates find.
func (s *secured) robot(name string, certificates ...string) *controlv1.IdentityVersion {
	s.t.Helper()
	made, err := s.identities.CreateIdentity(s.admin, &controlv1.CreateIdentityRequest{Reason: "test", Identity: &accessv1.Identity{
		Kind: accessv1.IdentityKind_IDENTITY_KIND_SERVICE, Name: name, Grants: []*accessv1.Grant{role(accessv1.Role_ROLE_VIEWER)}, CertificateNames: certificates,
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	return made.GetIdentity()
}

// TestCertificates: a certificate proves who its names are, and no more.
func TestCertificates(t *testing.T) {
	s := newSecured(t)
	const spiffe = "spiffe://example.com/ci"
	s.robot("robot", "robot.example.com", spiffe)
	s.robot("other", "other.example.com")
	for name, c := range map[string]struct {
		names []string
		want  codes.Code
	}{
		"its DNS name":          {[]string{"robot.example.com"}, codes.OK},
		"its URI":               {[]string{spiffe}, codes.OK},
		"and names of nobody":   {[]string{"x.example.com", "robot.example.com"}, codes.OK},
		"nobody's":              {[]string{"x.example.com"}, codes.Unauthenticated},
		"none":                  {nil, codes.Unauthenticated},
		"two services'":         {[]string{"robot.example.com", "other.example.com"}, codes.Unauthenticated},
		"a name as a URI":       {[]string{"dns://robot.example.com"}, codes.Unauthenticated},
		"in upper case":         {[]string{"ROBOT.example.com"}, codes.Unauthenticated},
		"a part of it":          {[]string{"example.com"}, codes.Unauthenticated},
		"a wildcard":            {[]string{"*.example.com"}, codes.Unauthenticated},
		"an identity's name":    {[]string{"robot"}, codes.Unauthenticated},
		"the administrator's":   {[]string{"administrator"}, codes.Unauthenticated},
		"URI with another path": {[]string{spiffe + "/x"}, codes.Unauthenticated},
	} {
		if err := listWith(t.Context(), s.presents(s.ca.Issue(tomorrow, c.names...))); status.Code(err) != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	conn := s.presents(s.ca.Issue(tomorrow, "robot.example.com"))
	who, err := controlv1.NewIdentityServiceClient(conn).WhoAmI(t.Context(), &controlv1.WhoAmIRequest{})
	if err != nil || who.GetProof() != "certificate" || who.GetIdentity().GetIdentity().GetName() != "robot" {
		t.Errorf("%v, %v", who, err)
	}
	if err := listWith(presenting(t.Context(), "tgk_aaaaaaaaaaaa_"+strings.Repeat("A", 43)), conn); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a certificate, and a secret that is wrong: %v", err)
	}
	forger := tlstest.NewAuthority(t)
	for name, f := range map[string]tlstest.Files{
		"another authority's": forger.Issue(tomorrow, "robot.example.com"), "expired": s.ca.Issue(time.Now().Add(-time.Minute), "robot.example.com"),
	} {
		if err := listWith(t.Context(), s.presents(f)); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := listWith(t.Context(), s.conn); status.Code(err) != codes.Unavailable {
		t.Errorf("without TLS: %v", err)
	}
	if err := listWith(t.Context(), s.dial(tlsfiles.ClientFiles{CA: forger.File})); status.Code(err) != codes.Unavailable {
		t.Errorf("who trusts another authority connects: %v", err)
	}
}

// TestCertificateTakenBack: a stream that was opened with a certificate ends when its name is
// somebody else's.
func TestCertificateTakenBack(t *testing.T) {
	s := newSecured(t)
	robot := s.robot("robot", "robot.example.com")
	watch, err := controlv1.NewFleetServiceClient(s.presents(s.ca.Issue(tomorrow, "robot.example.com"))).WatchRelays(t.Context(), &controlv1.WatchRelaysRequest{Environment: "production"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	robot.GetIdentity().CertificateNames = nil
	if _, err := s.identities.UpdateIdentity(s.admin, &controlv1.UpdateIdentityRequest{Identity: robot.GetIdentity(), BaseRevision: robot.GetRevision(), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestCertificateExpires: a connection outlives its certificate, and is worth nothing then.
func TestCertificateExpires(t *testing.T) {
	s := newSecured(t)
	s.robot("robot", "robot.example.com")
	g := &guard{directory: s.server.directory}
	for name, c := range map[string]struct {
		until time.Time
		want  codes.Code
	}{"good": {tomorrow, codes.OK}, "expired": {time.Now().Add(-time.Second), codes.Unauthenticated}} {
		_, err := g.byCertificate(&x509.Certificate{DNSNames: []string{"robot.example.com"}, NotAfter: c.until})
		if status.Code(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHTTPS: the HTTP address has the same TLS, and the same callers.
func TestHTTPS(t *testing.T) {
	s := newSecured(t)
	s.robot("robot", "robot.example.com")
	f := s.ca.Issue(tomorrow, "robot.example.com")
	certificate, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	post := func(certificates []tls.Certificate) (code, protocol int, header http.Header) {
		t.Helper()
		c := &tls.Config{RootCAs: s.ca.Pool(), Certificates: certificates, MinVersion: tls.VersionTLS12}
		transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.server.HTTPAddr()+listFlags, strings.NewReader(inDev))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.ProtoMajor, resp.Header
	}
	if code, protocol, header := post([]tls.Certificate{certificate}); code != http.StatusOK || protocol != 2 || header.Get("Strict-Transport-Security") == "" {
		t.Errorf("with a certificate: %d over HTTP/%d, %v", code, protocol, header)
	}
	if code, _, _ := post(nil); code != http.StatusUnauthorized {
		t.Errorf("without: %d", code)
	}
	if code, _ := s.get("/healthz"); code != http.StatusBadRequest {
		t.Errorf("without TLS: %d", code)
	}
}

// TestServersUseTLS: the servers of a cluster that has TLS answer each other.
func TestServersUseTLS(t *testing.T) {
	ca := tlstest.NewAuthority(t)
	own := ca.Issue(tomorrow)
	store := shared{memstore.New()}
	servers := make([]*running, 2)
	for i := range servers {
		addr := freeAddr(t)
		servers[i] = startAsking(t, Options{
			Store: store, GRPCAddr: addr, AdvertiseAddr: addr, InstanceID: "server-" + string(rune('a'+i)),
			TLS: tlsfiles.ServerFiles{Cert: own.Cert, Key: own.Key}, TLSCA: ca.File,
		})
	}
	a := &secured{asking: &asking{running: servers[0]}, ca: ca}
	admin := presenting(t.Context(), servers[0].server.FirstSecret()+servers[1].server.FirstSecret()) // one of them was first
	fleet := controlv1.NewFleetServiceClient(a.dial(tlsfiles.ClientFiles{CA: ca.File}))
	eventually(t, "both servers are known, and answer", func() bool {
		list, err := fleet.ListRelays(admin, &controlv1.ListRelaysRequest{})
		return err == nil && len(list.GetUnreachableServers()) == 0 &&
			servers[0].server.fleet.IsServer("server-b", func([]byte) bool { return true })
	})
}

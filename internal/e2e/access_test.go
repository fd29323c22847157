package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestKeys: a server, a relay and a relay behind it, each of which lets nobody follow without
// a key. A key that is revoked loses its streams on all three within a second of the commit;
// the relays, with keys of their own, are not disturbed. Nothing logs a secret.
func TestKeys(t *testing.T) {
	srv := bed.NewServer(t, bin, "--data-dir", t.TempDir(), "--require-keys", "--log-level", "debug")
	srv.Start()
	keys := controlv1.NewKeyServiceClient(bed.Dial(t, srv.GRPC))
	create := func(name string) *controlv1.CreateKeyResponse {
		t.Helper()
		r, err := keys.CreateKey(t.Context(), &controlv1.CreateKeyRequest{
			Name: name, Environments: []string{"production"}, Reason: "test", RequestId: uuid.NewString(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	nearKey, farKey := create("the near relay"), create("the far relay")
	relay := func(upstream string, key *controlv1.CreateKeyResponse) *bed.Relay {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(key.GetSecret()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := bed.NewRelay(t, bin, upstream, t.TempDir())
		r.AddArgs("--key-file", file, "--require-keys", "--log-level", "debug")
		r.Start()
		return r
	}
	near := relay(srv.GRPC, nearKey)
	far := relay(near.GRPC, farKey)

	lost, kept := create("lost"), create("kept")
	var lostStreams, keptStreams []*keyStream
	for _, at := range []string{srv.GRPC, near.GRPC, far.GRPC} {
		if _, err := openKeyStream(t, at, "").next(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s without a key: %v", at, err)
		}
		for _, s := range []struct {
			key  *controlv1.CreateKeyResponse
			list *[]*keyStream
		}{{lost, &lostStreams}, {kept, &keptStreams}} {
			bed.Eventually(t, "the key opens "+at, func() error {
				stream := openKeyStream(t, at, s.key.GetSecret())
				if err := stream.synced(); err != nil {
					return err
				}
				*s.list = append(*s.list, stream)
				return nil
			})
		}
	}

	revoked, err := keys.RevokeKey(t.Context(), &controlv1.RevokeKeyRequest{KeyId: lost.GetKey().GetKey().GetId(), Reason: "lost", RequestId: uuid.NewString()})
	if err != nil {
		t.Fatal(err)
	}
	committed := time.Now()
	for hops, stream := range lostStreams {
		g, err := stream.goodbye()
		took := time.Since(committed)
		if err != nil || g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !slices.Equal(g.GetEnvironments(), []string{"production"}) {
			t.Fatalf("%d hops away: %v, %v", hops, g, err)
		}
		if took > time.Second {
			t.Errorf("%d hops away it took %v", hops, took)
		}
		t.Logf("%d hops away: cut off %v after the commit", hops, took.Round(time.Millisecond))
	}
	for hops, stream := range keptStreams {
		if err := stream.reaches(revoked.GetEntries()[0].GetRevision()); err != nil {
			t.Errorf("another key's stream, %d hops away: %v", hops, err)
		}
	}
	for _, at := range []string{srv.GRPC, near.GRPC, far.GRPC} {
		if _, err := openKeyStream(t, at, lost.GetSecret()).next(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s with the revoked key: %v", at, err)
		}
	}
	for _, p := range []*bed.Process{srv.Process, near.Process, far.Process} {
		for _, key := range []*controlv1.CreateKeyResponse{nearKey, farKey, lost, kept} {
			if strings.Contains(p.Log(), key.GetSecret()[17:]) {
				t.Errorf("%s logs the secret of %s", p.Name(), key.GetKey().GetKey().GetName())
			}
		}
	}
}

// keyStream is a stream of production.
type keyStream struct {
	t    *testing.T
	next func() (*syncv1.StreamResponse, error)
	at   int64 // revision
}

func openKeyStream(t *testing.T, addr, secret string) *keyStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*bed.Patience)
	t.Cleanup(cancel)
	if secret != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
	}
	stream, err := syncv1.NewSyncServiceClient(bed.Dial(t, addr)).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.NewString()
	// What this fails with, Recv tells.
	_ = stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
		Protocol: 1, InstanceId: id, BootId: "b", Path: []string{id}, Scopes: []*syncv1.Scope{{Environment: "production"}},
	}}})
	return &keyStream{t: t, next: stream.Recv}
}

// step takes one message.
func (s *keyStream) step() (*syncv1.StreamResponse, error) {
	m, err := s.next()
	if err != nil {
		return nil, err
	}
	if c := m.GetUpdate().GetCommit(); c != nil {
		s.at = c.GetCursor().GetRevision()
	}
	return m, nil
}

// synced takes messages up to the first state.
func (s *keyStream) synced() error { return s.reaches(1) }

func (s *keyStream) reaches(revision int64) error {
	for s.at < revision {
		m, err := s.step()
		if err != nil {
			return err
		}
		if g := m.GetGoodbye(); g != nil {
			return fmt.Errorf("goodbye: %v", g)
		}
	}
	return nil
}

func (s *keyStream) goodbye() (*syncv1.Goodbye, error) {
	for {
		m, err := s.step()
		if err != nil || m.GetGoodbye() != nil {
			return m.GetGoodbye(), err
		}
	}
}

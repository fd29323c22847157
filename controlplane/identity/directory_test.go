package identity

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// directory is one that follows a store, whose clock says now.
func directory(t *testing.T, now *time.Time) (*Directory, store.Store) {
	t.Helper()
	s := memstore.New()
	d, err := Open(t.Context(), Options{Store: s, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended; _ = s.Close() })
	return d, s
}

func put(t *testing.T, d *Directory, s store.Store, i *accessv1.Identity) {
	t.Helper()
	data, err := proto.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put(Root+i.GetId(), data)}})
	if err != nil {
		t.Fatal(err)
	}
	d.Await(t.Context(), i.GetId(), out.Revision, false)
}

func TestBySecret(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	d, s := directory(t, &now)
	_, first := accesskey.New()
	_, second := accesskey.NewFor(first.ID)
	_, stranger := accesskey.NewFor(first.ID)
	robot := &accessv1.Identity{
		Id: first.ID, Name: "robot", ExpiresAt: timestamppb.New(now.Add(2 * time.Hour)),
		Secrets: []*accessv1.Secret{{Hash: second.Hash()}, {Hash: first.Hash(), ExpiresAt: timestamppb.New(now.Add(time.Hour))}},
	}
	expect := func(when string, p accesskey.Presented, want error) {
		t.Helper()
		k, err := d.BySecret(p)
		if !errors.Is(err, want) || want == nil && k.GetName() != "robot" {
			t.Errorf("%s: %v, %v; want %v", when, k.Identity, err, want)
		}
	}
	expect("before there is one", first, ErrUnknown)
	put(t, d, s, robot)
	expect("the newest", second, nil)
	expect("the one before, while they overlap", first, nil)
	expect("the same id, another secret", stranger, ErrUnknown)
	now = now.Add(time.Hour)
	expect("the one before, after that", first, ErrExpired)
	expect("the newest, still", second, nil)
	robot.Disabled = true
	put(t, d, s, robot)
	expect("disabled", second, ErrDisabled)
	robot.Disabled = false
	put(t, d, s, robot)
	now = now.Add(time.Hour)
	expect("the identity has expired", second, ErrExpired)
}

// TestFoundByNames: each name leads to one identity, and no longer when it has another.
func TestFoundByNames(t *testing.T) {
	now := time.Now()
	d, s := directory(t, &now)
	put(t, d, s, &accessv1.Identity{Id: "aaaaaaaaaaaa", Name: "mesh", CertificateNames: []string{"spiffe://example/mesh", "mesh.example"}})
	put(t, d, s, &accessv1.Identity{Id: "bbbbbbbbbbbb", Name: "ada@example.com", Openid: &accessv1.OpenIDSubject{Issuer: "https://id", Subject: "1"}})
	if k, err := d.ByCertificate([]string{"other", "mesh.example", "spiffe://example/mesh"}); err != nil || k.GetName() != "mesh" {
		t.Errorf("by certificate: %v, %v", k.Identity, err)
	}
	if _, err := d.ByCertificate([]string{"other"}); err == nil {
		t.Error("a certificate of nobody is somebody's")
	}
	put(t, d, s, &accessv1.Identity{Id: "cccccccccccc", Name: "other", CertificateNames: []string{"other"}})
	if _, err := d.ByCertificate([]string{"other", "mesh.example"}); err == nil {
		t.Error("a certificate of two is one's")
	}
	if k, err := d.ByOpenID("https://id", "1"); err != nil || k.GetName() != "ada@example.com" {
		t.Errorf("by subject: %v, %v", k.Identity, err)
	}
	if _, err := d.ByOpenID("https://id\n1", ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("another issuer's subject: %v", err)
	}
	put(t, d, s, &accessv1.Identity{Id: "aaaaaaaaaaaa", Name: "renamed"})
	if _, err := d.ByName("mesh"); !errors.Is(err, ErrUnknown) {
		t.Errorf("by the name that it had: %v", err)
	}
	if _, err := d.ByCertificate([]string{"mesh.example"}); err == nil {
		t.Error("by the certificate that it had")
	}
}

// TestUnreadable: what cannot be read is nobody, and the others are who they are.
func TestUnreadable(t *testing.T) {
	now := time.Now()
	d, s := directory(t, &now)
	put(t, d, s, &accessv1.Identity{Id: "aaaaaaaaaaaa", Name: "robot"})
	if _, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{
		store.Put(Root+"bbbbbbbbbbbb", []byte{0xff}), store.Put(Root+"cccccccccccc", mustMarshal(t, &accessv1.Identity{Id: "aaaaaaaaaaaa", Name: "impostor"})),
	}}); err != nil {
		t.Fatal(err)
	}
	put(t, d, s, &accessv1.Identity{Id: "dddddddddddd", Name: "last"})
	all, _ := d.All()
	if k, err := d.ByName("robot"); len(all) != 2 || err != nil || k.GetId() != "aaaaaaaaaaaa" {
		t.Errorf("%d identities, %v, %v", len(all), k.Identity, err)
	}
	if _, err := d.ByName("impostor"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an identity at another's key: %v", err)
	}
}

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

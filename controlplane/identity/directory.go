package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/mirror"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// Root is where identities are in the store, by id.
const Root = "/tidegate/v1/i/"

var (
	// ErrUnknown says that there is no such identity, or that what it presented is not its own.
	// It does not say which.
	ErrUnknown = errors.New("no identity has this secret: it was never one, or was rotated or taken back")
	// ErrDisabled says that the identity is disabled.
	ErrDisabled = errors.New("this identity is disabled")
	// ErrExpired says that the identity, or its secret, has expired.
	ErrExpired = errors.New("expired")
)

// Known is an identity as the store had it. It must not be modified.
type Known struct {
	*accessv1.Identity
	Revision int64
}

// Directory knows the identities that the store has, and follows it. While it cannot, it is as
// it was.
type Directory struct {
	mirror *mirror.Mirror[*accessv1.Identity]
	now    func() time.Time

	mu     sync.Mutex
	of     <-chan struct{}   // is closed when byName is no longer true
	byName map[string]string // id by what each identity is found by
}

// Options of a Directory.
type Options struct {
	Store  store.Store // required
	Logger zerolog.Logger
	Now    func() time.Time // default time.Now
}

// Open reads the identities; Run follows them.
func Open(ctx context.Context, o Options) (*Directory, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Directory{now: o.Now, mirror: mirror.New(mirror.Options[*accessv1.Identity]{
		Store: o.Store, Prefix: Root, Logger: o.Logger, Decode: decode,
	})}
	return d, d.mirror.Load(ctx)
}

// Load reads the identities again.
func (d *Directory) Load(ctx context.Context) error { return d.mirror.Load(ctx) }

// Run follows the store until ctx ends.
func (d *Directory) Run(ctx context.Context) { d.mirror.Run(ctx) }

func decode(kv store.KV) (*accessv1.Identity, error) {
	i := new(accessv1.Identity)
	if err := proto.Unmarshal(kv.Value, i); err != nil {
		return nil, err // nobody is it
	}
	if kv.Key != Root+i.GetId() {
		return nil, fmt.Errorf("it is of identity %s", i.GetId())
	}
	return i, nil
}

// Empty tells whether there is nobody.
func (d *Directory) Empty() bool {
	all, _ := d.mirror.All()
	return len(all) == 0
}

// All are the identities, in no order, and what is closed when they are no longer these.
func (d *Directory) All() ([]Known, <-chan struct{}) {
	entries, changed := d.mirror.All()
	all := make([]Known, 0, len(entries))
	for _, e := range entries {
		if e.Value != nil {
			all = append(all, Known{e.Value, e.Revision})
		}
	}
	return all, changed
}

// Get returns an identity; ok is false where there is none.
func (d *Directory) Get(id string) (k Known, ok bool) {
	entries, _ := d.mirror.All()
	e, ok := entries[id]
	return Known{e.Value, e.Revision}, ok && e.Value != nil
}

// Current returns what there is of an identity now, and what is closed when any has changed.
func (d *Directory) Current(id string) (Known, <-chan struct{}, error) {
	_, changed := d.mirror.All()
	k, ok := d.Get(id)
	if !ok {
		return Known{}, changed, ErrUnknown
	}
	return k, changed, d.usable(k)
}

// Await waits until the directory has what became of an identity at a revision, or ctx ends.
func (d *Directory) Await(ctx context.Context, id string, revision int64, deleted bool) {
	for {
		entries, changed := d.mirror.All()
		e, there := entries[id]
		if there && e.Revision >= revision || deleted && !there {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// usable says why an identity may do nothing.
func (d *Directory) usable(k Known) error { return Usable(k.Identity, d.now()) }

// Usable says why an identity may do nothing at a time; nil: it may what it was granted.
func Usable(i *accessv1.Identity, now time.Time) error {
	switch {
	case i.GetDisabled():
		return ErrDisabled
	case i.GetExpiresAt() != nil && !now.Before(i.GetExpiresAt().AsTime()):
		return fmt.Errorf("this identity has %w at %s", ErrExpired, i.GetExpiresAt().AsTime().Format(time.RFC3339))
	}
	return nil
}

// BySecret returns the service whose secret was presented.
func (d *Directory) BySecret(p accesskey.Presented) (Known, error) {
	k, ok := d.Get(p.ID)
	if !ok {
		return Known{}, ErrUnknown
	}
	for _, s := range k.GetSecrets() {
		if !p.Matches(s.GetHash()) {
			continue
		}
		if s.GetExpiresAt() != nil && !d.now().Before(s.GetExpiresAt().AsTime()) {
			return Known{}, fmt.Errorf("this secret was rotated, and has %w at %s: present the newer one", ErrExpired, s.GetExpiresAt().AsTime().Format(time.RFC3339))
		}
		return k, d.usable(k)
	}
	return Known{}, ErrUnknown
}

// ByCertificate returns the service that has one of a certificate's names. Names of two are
// nobody's.
func (d *Directory) ByCertificate(names []string) (Known, error) {
	index := d.index()
	ids := make([]string, 0, 1)
	for _, name := range names {
		if id, ok := index[certificatePrefix+name]; ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) != 1 {
		return Known{}, fmt.Errorf("%d identities have one of the certificate's names (%s), want one", len(ids), strings.Join(names, ", "))
	}
	return d.found(ids[0])
}

// ByName returns the identity of a name.
func (d *Directory) ByName(name string) (Known, error) {
	return d.found(d.index()[NameOf(name)])
}

// ByOpenID returns the person who is this subject.
func (d *Directory) ByOpenID(issuer, subject string) (Known, error) {
	return d.found(d.index()[openIDName(issuer, subject)])
}

func (d *Directory) found(id string) (Known, error) {
	k, ok := d.Get(id)
	if !ok {
		return Known{}, ErrUnknown
	}
	return k, d.usable(k)
}

// What an identity is found by begins so.
const (
	namePrefix        = "name/"
	certificatePrefix = "certificate/"
	openIDPrefix      = "openid/"
)

// NameOf is the one of an identity's Names that is what it is called.
func NameOf(name string) string { return namePrefix + name }

func openIDName(issuer, subject string) string { return openIDPrefix + issuer + "\n" + subject }

// Names are what an identity is found by, each of one alone.
func Names(i *accessv1.Identity) []string {
	if i == nil {
		return nil
	}
	names := []string{NameOf(i.GetName())}
	for _, name := range i.GetCertificateNames() {
		names = append(names, certificatePrefix+name)
	}
	if o := i.GetOpenid(); o != nil {
		names = append(names, openIDName(o.GetIssuer(), o.GetSubject()))
	}
	return names
}

// index finds ids by names. It is made when it is first asked for after a change.
func (d *Directory) index() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	entries, changed := d.mirror.All()
	if d.of == changed {
		return d.byName
	}
	d.of, d.byName = changed, make(map[string]string, len(entries))
	for id, e := range entries {
		for _, name := range Names(e.Value) {
			d.byName[name] = id
		}
	}
	return d.byName
}

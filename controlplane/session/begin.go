package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// How a person proved who they are.
const (
	ByPassword = "password"
	ByOpenID   = "openid"
)

const (
	// most is how many sessions a person has: another one ends the oldest.
	most = 50
	// codeLife is how long a login waits to be fetched.
	codeLife = time.Minute
	// noticed is for how long the beginning of a session waits until this server knows of it.
	noticed = 2 * time.Second
	// maxAgent bounds what is kept of a user agent, in bytes.
	maxAgent = 200
	idLength = 16
)

// ErrCode says that a code is not good. It does not say why.
var ErrCode = errors.New("the code is not good: it was used, has expired, or was never one; log in again")

// Login is somebody who has just proven who they are.
type Login struct {
	Who             identity.Known
	Proof           string // ByPassword or ByOpenID
	UserAgent, Peer string
}

// Begin begins a session. The token is nowhere else.
func (s *Sessions) Begin(ctx context.Context, l Login) (token string, began *accessv1.Session, err error) {
	return s.begin(ctx, s.session(l), store.Txn{})
}

// ID is the id of the session that has a hash.
func ID(hash string) string { return hash[:idLength] }

// session is what a login makes.
func (s *Sessions) session(l Login) *accessv1.Session {
	now := s.o.Now()
	return &accessv1.Session{
		IdentityId: l.Who.GetId(), Generation: l.Who.GetSessions(), Proof: l.Proof,
		CreatedAt: timestamppb.New(now), LastSeenAt: timestamppb.New(now), ExpiresAt: timestamppb.New(now.Add(s.o.Last)),
		UserAgent: printable(l.UserAgent), Peer: l.Peer,
	}
}

// printable is what is kept of a text that a caller made up.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxAgent)]
}

// begin puts a session into the store, with whatever else the transaction does.
func (s *Sessions) begin(ctx context.Context, made *accessv1.Session, t store.Txn) (token string, began *accessv1.Session, err error) {
	token, hash := accesskey.NewSession()
	made.Id = ID(hash)
	data, err := proto.Marshal(made)
	if err != nil {
		return "", nil, fmt.Errorf("encode the session: %w", err)
	}
	t.Ops = append(t.Ops, store.Put(sessionsRoot+hash, data))
	if all := s.ofPerson(made.GetIdentityId()); len(all) >= most {
		t.Ops = append(t.Ops, store.Delete(sessionsRoot+all[len(all)-1].hash))
	}
	out, err := s.o.Store.Commit(ctx, t)
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("begin the session: %w", err)
	case !out.Committed:
		return "", nil, ErrCode // all that is compared is the code
	}
	s.await(ctx, hash, true)
	return token, made, nil
}

// End ends a session. One that has ended is no error.
func (s *Sessions) End(ctx context.Context, hash string) error {
	if _, err := s.o.Store.Commit(ctx, store.Txn{Ops: []store.Op{store.Delete(sessionsRoot + hash)}}); err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	s.await(ctx, hash, false)
	return nil
}

// await waits until this server knows that a session is there, or is not, where that does not
// take long.
func (s *Sessions) await(ctx context.Context, hash string, there bool) {
	ctx, cancel := context.WithTimeout(ctx, noticed)
	defer cancel()
	for {
		entries, changed := s.mirror.All()
		if _, known := entries[hash]; known == there {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

var codeEncoding = base64.RawURLEncoding.Strict()

// Defer keeps a login for whoever has the code, and what the challenge is the SHA-256 of.
func (s *Sessions) Defer(ctx context.Context, l Login, challenge []byte) (code string, err error) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	code = codeEncoding.EncodeToString(random[:])
	data, err := proto.Marshal(&accessv1.LoginCode{
		Session: s.session(l), Challenge: challenge, ExpiresAt: timestamppb.New(s.o.Now().Add(codeLife)),
	})
	if err != nil {
		return "", fmt.Errorf("encode the login: %w", err)
	}
	lease, err := s.o.Store.Grant(ctx, codeLife)
	if err != nil {
		return "", fmt.Errorf("keep the login: %w", err)
	}
	if _, err := s.o.Store.Commit(ctx, store.Txn{Ops: []store.Op{store.PutLeased(codeKey(code), data, lease)}}); err != nil {
		return "", fmt.Errorf("keep the login: %w", err)
	}
	return code, nil
}

// Redeem begins the session of a login that was kept. It fails with ErrCode.
func (s *Sessions) Redeem(ctx context.Context, code, verifier string) (token string, began *accessv1.Session, err error) {
	results, _, err := s.o.Store.Read(ctx, store.Key(codeKey(code)))
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("look for the login: %w", err)
	case len(results[0].KVs) == 0:
		return "", nil, ErrCode
	}
	kv, kept := results[0].KVs[0], new(accessv1.LoginCode)
	if err := proto.Unmarshal(kv.Value, kept); err != nil {
		return "", nil, ErrCode
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare(sum[:], kept.GetChallenge()) != 1 || !s.o.Now().Before(kept.GetExpiresAt().AsTime()) {
		return "", nil, ErrCode
	}
	return s.begin(ctx, kept.GetSession(), store.Txn{
		Compares: []store.Compare{store.Unchanged(kv.Key, kv.ModRevision)},
		Ops:      []store.Op{store.Delete(kv.Key)},
	})
}

func codeKey(code string) string {
	sum := sha256.Sum256([]byte(code))
	return codesRoot + hex.EncodeToString(sum[:])
}

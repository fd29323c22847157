// Package accesskey knows the form of the secrets that followers present, and what of them
// is kept: an id, by which a key is found, and a hash. See access/v1/key.proto.
package accesskey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
)

const (
	prefix = "tgk_"
	// IDLength is in characters, each a lower-case letter or a digit.
	IDLength    = 12
	randomBytes = 32
	alphabet    = "abcdefghijklmnopqrstuvwxyz0123456789"
)

var (
	idPattern = regexp.MustCompile(`^[a-z0-9]{12}$`)
	encoding  = base64.RawURLEncoding.Strict()

	secretLength = len(prefix) + IDLength + len("_") + encoding.EncodedLen(randomBytes)
)

// ErrMalformed says that a text is not a secret. It does not quote it: the text may be one
// with a mistake in it.
var ErrMalformed = errors.New("not a key's secret: it is 'tgk_', 12 lower-case letters and digits, '_', and 43 characters of base64url, without spaces")

// Presented is what is kept of a secret that somebody presented: nothing that opens
// anything.
type Presented struct {
	ID   string
	hash [sha256.Size]byte
	// ticketFor is the environment for whose events a ticket was presented, in the place of the
	// secret; hash is its MAC then. Empty: it was the secret.
	ticketFor string
}

// New draws a secret; the key's id is part of it.
func New() (secret string, p Presented) { return NewFor(newID()) }

// NewFor draws a secret for a key that has an id already.
func NewFor(id string) (secret string, p Presented) {
	var random [randomBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	secret = prefix + id + "_" + encoding.EncodeToString(random[:])
	p, _ = Parse(secret)
	return secret, p
}

// newID draws an id, each of them as likely as any other.
func newID() string {
	id := make([]byte, 0, IDLength)
	var random [2 * IDLength]byte
	for {
		_, _ = rand.Read(random[:])
		for _, b := range random {
			const fair = 256 - 256%len(alphabet)
			if int(b) >= fair {
				continue
			}
			if id = append(id, alphabet[int(b)%len(alphabet)]); len(id) == IDLength {
				return string(id)
			}
		}
	}
}

// Parse reads a secret. It fails with ErrMalformed.
func Parse(secret string) (Presented, error) {
	rest, ok := strings.CutPrefix(secret, prefix)
	if !ok || len(secret) != secretLength || rest[IDLength] != '_' || !ValidID(rest[:IDLength]) {
		return Presented{}, ErrMalformed
	}
	if _, err := encoding.DecodeString(rest[IDLength+1:]); err != nil {
		return Presented{}, ErrMalformed // without the cause, which tells of the secret
	}
	return Presented{ID: rest[:IDLength], hash: sha256.Sum256([]byte(secret))}, nil
}

// ValidID tells whether a text has the form of an id.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// Hash returns what a key keeps of its secret.
func (p Presented) Hash() []byte { return p.hash[:] }

// Matches tells whether the hash is that of the secret which was presented. How long that
// takes does not depend on how much of it is right.
func (p Presented) Matches(hash []byte) bool {
	if p.ticketFor != "" {
		// Of a secret that there is not the hash is empty, and what is made of that known to all.
		return len(hash) == sha256.Size && hmac.Equal(p.hash[:], ticketMAC(hash, p.ticketFor))
	}
	return subtle.ConstantTimeCompare(p.hash[:], hash) == 1
}

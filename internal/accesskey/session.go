package accesskey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// sessionPrefix begins the token of a person's session. See access/v1/session.proto.
const sessionPrefix = "tgs_"

var sessionLength = len(sessionPrefix) + encoding.EncodedLen(randomBytes)

// ErrNotSession says that a text is not a session's token. It does not quote it.
var ErrNotSession = errors.New("not a session's token: it is 'tgs_' and 43 characters of base64url, without spaces")

// NewSession draws a token. What is kept of it is its hash, in hexadecimal digits.
func NewSession() (token, hash string) {
	var random [randomBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	token = sessionPrefix + encoding.EncodeToString(random[:])
	return token, sessionHash(token)
}

// ParseSession returns the hash of a session's token. It fails with ErrNotSession.
func ParseSession(token string) (hash string, err error) {
	rest, ok := strings.CutPrefix(token, sessionPrefix)
	if !ok || len(token) != sessionLength {
		return "", ErrNotSession
	}
	if _, err := encoding.DecodeString(rest); err != nil {
		return "", ErrNotSession // without the cause, which tells of the token
	}
	return sessionHash(token), nil
}

// IsSession tells whether a text means to be a session's token.
func IsSession(text string) bool { return strings.HasPrefix(text, sessionPrefix) }

func sessionHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

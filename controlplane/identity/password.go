package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Passwords are kept as Argon2id (RFC 9106), in the PHC string format. The costs are the RFC's
// second recommended option, for where memory is scarce: 64 MiB, three passes, four lanes.
const (
	memory  = 64 << 10 // KiB
	passes  = 3
	lanes   = 4
	saltLen = 16
	hashLen = 32

	// What is read may cost a little more than what is written, by a later version, and no
	// more: a hash is not to be a way to use up the server.
	maxMemory = 4 * memory
	maxPasses = 4 * passes
)

// hashing bounds how many passwords are hashed at once, and so the memory that takes.
var hashing = make(chan struct{}, 2)

// ErrPassword says that a password is not the one.
var ErrPassword = errors.New("the name or the password is wrong")

var phc = base64.RawStdEncoding.Strict()

// HashPassword returns what is kept of a password.
func HashPassword(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails
	hash, err := derive(ctx, password, salt, memory, passes, lanes, hashLen)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, phc.EncodeToString(salt), phc.EncodeToString(hash)), nil
}

// absent is compared with where there is no password, so that it takes as long as where there
// is one.
const absent = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// CheckPassword fails with ErrPassword if the password is not the one that was hashed, or none
// was (an empty hash), and takes as long for each.
func CheckPassword(ctx context.Context, hash, password string) error {
	there := hash != ""
	if !there {
		hash = absent
	}
	salt, want, m, t, p, err := parsePHC(hash)
	if err != nil {
		return err
	}
	got, err := derive(ctx, password, salt, m, t, p, uint32(len(want)))
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 || !there {
		return ErrPassword
	}
	return nil
}

func derive(ctx context.Context, password string, salt []byte, m, t uint32, p uint8, length uint32) ([]byte, error) {
	select {
	case hashing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, t, m, p, length), nil
}

// parsePHC reads '$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH'.
func parsePHC(text string) (salt, hash []byte, m, t uint32, p uint8, err error) {
	wrong := func(what string) error { return fmt.Errorf("the stored password hash has %s", what) }
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, nil, 0, 0, 0, wrong("another form than Argon2id's, version 19")
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); n != 3 || err != nil ||
		m < 8 || m > maxMemory || t == 0 || t > maxPasses || p == 0 || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", m, t, p) {
		return nil, nil, 0, 0, 0, wrong("costs that are not taken")
	}
	if salt, err = phc.DecodeString(parts[4]); err != nil || len(salt) < 8 || len(salt) > 64 {
		return nil, nil, 0, 0, 0, wrong("no salt")
	}
	if hash, err = phc.DecodeString(parts[5]); err != nil || len(hash) < 16 || len(hash) > 64 {
		return nil, nil, 0, 0, 0, wrong("no hash")
	}
	return salt, hash, m, t, p, nil
}

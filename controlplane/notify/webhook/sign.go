package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	secretPrefix = "whsec_"
	// minSecret and maxSecretBytes are Standard Webhooks' bounds, in bytes.
	minSecret, maxSecretBytes = 24, 64
	// maxSecrets that events are signed with: the new one and the old ones.
	maxSecrets = 4
)

// secret is a signing secret. It does not show itself.
type secret struct {
	text string // as it was given
	key  []byte
}

// String keeps the secret out of logs and errors.
func (secret) String() string { return "(secret)" }

// GoString keeps it out of %#v.
func (secret) GoString() string { return "(secret)" }

// parseSecrets reads signing secrets, separated by white space. The error does not show them.
func parseSecrets(text string) ([]secret, error) {
	fields := strings.Fields(text)
	if len(fields) > maxSecrets {
		return nil, fmt.Errorf("has %d secrets: at most %d, the one that is used and those that it replaces", len(fields), maxSecrets)
	}
	secrets := make([]secret, 0, len(fields))
	for _, field := range fields {
		encoded, ok := strings.CutPrefix(field, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case !ok || err != nil:
			return nil, errors.New("a secret is 'whsec_' and 24 to 64 random bytes as base64: make one with  echo whsec_$(openssl rand -base64 32)")
		case len(key) < minSecret || len(key) > maxSecretBytes:
			return nil, fmt.Errorf("a secret has 24 to 64 bytes, not %d: make one with  echo whsec_$(openssl rand -base64 32)", len(key))
		}
		secrets = append(secrets, secret{text: field, key: key})
	}
	return secrets, nil
}

// sign is the value of webhook-signature: HMAC-SHA256 over "ID.TIMESTAMP.BODY", as Standard
// Webhooks 1.0.0 has it, by each of the secrets.
func sign(secrets []secret, id string, at time.Time, body []byte) string {
	signatures := make([]string, 0, len(secrets))
	for _, s := range secrets {
		mac := hmac.New(sha256.New, s.key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(signatures, " ")
}

package accesskey_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/accesskey"
)

func TestNewSession(t *testing.T) {
	seen := make(map[string]bool)
	for range 200 {
		token, hash := accesskey.NewSession()
		if seen[token] || seen[hash] {
			t.Fatal("a session was drawn twice")
		}
		seen[token], seen[hash] = true, true
		parsed, err := accesskey.ParseSession(token)
		if err != nil || parsed != hash || len(hash) != 64 || !accesskey.IsSession(token) {
			t.Fatalf("hash %s is parsed as %s, %v", hash, parsed, err)
		}
		if _, err := accesskey.Parse(token); err == nil {
			t.Fatal("a session is a key")
		}
	}
}

func TestMalformedSession(t *testing.T) {
	token, _ := accesskey.NewSession()
	key, _ := accesskey.New()
	for name, text := range map[string]string{
		"empty":             "",
		"a key":             key,
		"cut off":           token[:len(token)-1],
		"with a line break": token + "\n",
		"not base64url":     token[:20] + "+" + token[21:],
		"not canonical":     token[:len(token)-1] + "B",
		"in upper case":     strings.ToUpper(token),
	} {
		if _, err := accesskey.ParseSession(text); !errors.Is(err, accesskey.ErrNotSession) || strings.Contains(err.Error(), token[10:40]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package accesskey_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/accesskey"
)

func TestNew(t *testing.T) {
	seen := make(map[string]bool)
	letters := make(map[rune]bool)
	for range 500 {
		secret, p := accesskey.New()
		if seen[secret] || seen[p.ID] {
			t.Fatalf("key %s was drawn twice", p.ID)
		}
		seen[secret], seen[p.ID] = true, true
		for _, r := range p.ID {
			letters[r] = true
		}
		parsed, err := accesskey.Parse(secret)
		if err != nil || parsed != p || !strings.HasPrefix(secret, "tgk_"+p.ID+"_") {
			t.Fatalf("key %s is parsed as %s, %v", p.ID, parsed.ID, err)
		}
		if hash := sha256.Sum256([]byte(secret)); !p.Matches(hash[:]) {
			t.Fatalf("key %s: its hash is not that of the whole secret", p.ID)
		}
	}
	if len(letters) != 36 {
		t.Errorf("ids are made of %d characters, want 36", len(letters))
	}
}

func TestMatches(t *testing.T) {
	secret, p := accesskey.New()
	right := sha256.Sum256([]byte(secret))
	for _, wrong := range [][]byte{nil, {}, right[:31], append(right[:], 0), make([]byte, 32)} {
		if p.Matches(wrong) {
			t.Errorf("matches %x", wrong)
		}
	}
	for i := range right {
		wrong := right
		wrong[i] ^= 1
		if p.Matches(wrong[:]) {
			t.Errorf("matches a hash that differs in byte %d", i)
		}
	}
}

func TestMalformed(t *testing.T) {
	secret, _ := accesskey.New()
	for name, text := range map[string]string{
		"empty":              "",
		"another prefix":     "TGK_" + secret[4:],
		"cut off":            secret[:len(secret)-1],
		"with a line break":  secret + "\n",
		"two of them":        secret + secret,
		"id in upper case":   "tgk_A" + secret[5:],
		"no separator":       secret[:16] + "x" + secret[17:],
		"not base64url":      secret[:20] + "+" + secret[21:],
		"not canonical":      secret[:len(secret)-1] + "B",
		"id with other text": "tgk_äöüäöü" + secret[16:],
	} {
		_, err := accesskey.Parse(text)
		if !errors.Is(err, accesskey.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse: what is parsed has the form that is written, and the error quotes nothing.
func FuzzParse(f *testing.F) {
	secret, _ := accesskey.New()
	f.Add(secret)
	f.Add("tgk_")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := accesskey.Parse(text)
		if err != nil {
			if err.Error() != accesskey.ErrMalformed.Error() {
				t.Errorf("%v", err)
			}
			return
		}
		if !accesskey.ValidID(p.ID) || !strings.HasPrefix(text, "tgk_"+p.ID+"_") || len(text) != 60 {
			t.Errorf("%q is parsed as %q", text, p.ID)
		}
	})
}

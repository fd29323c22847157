package identity

import (
	"errors"
	"strings"
	"testing"
)

func TestPassword(t *testing.T) {
	const password = "correct horse battery staple"
	hash, err := HashPassword(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	again, err := HashPassword(t.Context(), password)
	if err != nil || hash == again {
		t.Errorf("two hashes of a password are the same: %v", err)
	}
	if strings.Contains(hash, password) || !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("hashed to %s", hash)
	}
	if err := CheckPassword(t.Context(), hash, password); err != nil {
		t.Errorf("the password: %v", err)
	}
	for name, c := range map[string][2]string{
		"another":       {hash, password + "x"},
		"empty":         {hash, ""},
		"none kept":     {"", password},
		"none of none":  {"", ""},
		"kept as empty": {absent, ""},
	} {
		if err := CheckPassword(t.Context(), c[0], c[1]); !errors.Is(err, ErrPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPasswordElsewhere: a hash that another implementation made, argon2-cffi for Python.
func TestPasswordElsewhere(t *testing.T) {
	const hash = "$argon2id$v=19$m=65536,t=3,p=4$bdzA5gwG/zsnvto8NlFNrQ$/UaAaTLBMCMStSMAO7n/iXt5WizjfcA5ZxZDbYAazEw"
	if err := CheckPassword(t.Context(), hash, "correct horse battery staple"); err != nil {
		t.Error(err)
	}
}

// FuzzPHC: whatever is stored is read without a panic, and never costs more than is allowed.
func FuzzPHC(f *testing.F) {
	f.Add(absent)
	f.Add("$argon2id$v=19$m=99999999,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2i$v=19$m=65536,t=3,p=4$AAAA$AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		salt, hash, m, passes, p, err := parsePHC(text)
		if err != nil {
			return
		}
		if m > maxMemory || passes == 0 || passes > maxPasses || p == 0 || len(salt) < 8 || len(hash) < 16 || len(hash) > 64 {
			t.Errorf("%q costs m=%d t=%d p=%d, %d and %d bytes", text, m, passes, p, len(salt), len(hash))
		}
	})
}

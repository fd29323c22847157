package dial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/accesskey"
)

// TestKey: of a file, it is what the file holds at the time; an error tells no secret.
func TestKey(t *testing.T) {
	t.Parallel()
	if Key("", "") != nil {
		t.Error("there is a key that nobody gave")
	}
	if secret, err := Key("secret", "")(); secret != "secret" || err != nil {
		t.Errorf("a secret: %q, %v", secret, err)
	}
	file := filepath.Join(t.TempDir(), "key")
	read := Key("", file)
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a file: %v", err)
	}
	for range 2 {
		secret, _ := accesskey.New()
		if err := os.WriteFile(file, []byte(" "+secret+"\n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(); err != nil || got != secret {
			t.Errorf("%q, %v", got, err)
		}
		if err := os.WriteFile(file, []byte(secret[:59]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := read(); err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), secret[17:59]) {
			t.Errorf("with half a key: %v", err)
		}
	}
}

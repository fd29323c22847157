package nearest

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	t.Parallel()
	names := []string{"new-checkout", "new-search", "production", "staging", "dev", strings.Repeat("x", 200)}
	for written, want := range map[string]string{
		"new-chekcout": "new-checkout", "newCheckout": "new-checkout", "new_chekout": "new-checkout", "checkout": "",
		"prodction": "production", "Prodktion": "production", "prdctin": "", "prod": "",
		"dve": "dev", "deve": "dev", "dv": "dev", "d": "", "": "", strings.Repeat("x", 199): "",
		"nwe-search": "new-search", "new-saerch!": "new-search",
	} {
		if got := Name(written, names); got != want {
			t.Errorf("%q: got %q, want %q", written, got, want)
		}
	}
	if got := Name("a", nil); got != "" {
		t.Errorf("of no names: %q", got)
	}
}

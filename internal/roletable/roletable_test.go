package roletable

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSections: a table takes its own section's place, and no other's.
func TestSections(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# Page\n\nHead.\n\n## One\n\nold\n\n## Two\n\nkept\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, title := range []string{"One", "Three"} {
		table := Table{Title: title, Head: "New.", First: "method", Roles: []string{"viewer"}}
		table.Row("m", Yes)
		table.Check(t, page, true)
		table.Check(t, page, false)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const table = "New.\n\n| method | viewer |\n|---|---|\n| `m` | yes |\n"
	if want := "# Page\n\nHead.\n\n## One\n\n" + table + "\n## Two\n\nkept\n\n## Three\n\n" + table; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

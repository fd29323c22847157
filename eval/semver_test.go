package eval

import (
	"strings"
	"testing"

	"golang.org/x/mod/semver"
)

func FuzzVersion(f *testing.F) {
	for _, s := range []string{
		"1.2.3", "v1", "V1.2", "1.2.3-rc.1+build.5", "1.0.0-alpha.beta", "1.0.0-0a", "01.0.0", "1.0.0-01", "1.2-rc",
		"99999999999999999999.0.0", "1..2", "", "v", "1.2.3-", "1.2.3+",
	} {
		f.Add(s, "1.2.3")
	}
	f.Fuzz(fuzzVersion)
}

// fuzzVersion holds parsing and order against golang.org/x/mod/semver.
func fuzzVersion(t *testing.T, a, b string) {
	canonical := func(s string) string { return "v" + strings.TrimPrefix(strings.TrimPrefix(s, "v"), "V") }
	v, ok1 := parseVersion(a)
	w, ok2 := parseVersion(b)
	if strings.HasPrefix(a, "vV") || strings.HasPrefix(b, "vV") {
		return // canonical takes off both
	}
	x, y := canonical(a), canonical(b)
	if ok1 != semver.IsValid(x) || ok2 != semver.IsValid(y) {
		t.Fatalf("%q valid: %v, %q valid: %v", a, ok1, b, ok2)
	}
	if !ok1 || !ok2 {
		return
	}
	if got, want := v.compare(w), semver.Compare(x, y); got != want {
		t.Errorf("%q compared with %q: %d, want %d", a, b, got, want)
	}
	if got, want := v.sameMajor(w), semver.Major(x) == semver.Major(y); got != want {
		t.Errorf("%q has the major version of %q: %v", a, b, got)
	}
	if got, want := v.sameMinor(w), semver.MajorMinor(x) == semver.MajorMinor(y); got != want {
		t.Errorf("%q has the minor version of %q: %v", a, b, got)
	}
}

func TestVersionPrecedence(t *testing.T) {
	ascending := []string{
		"0.0.1", "0.1.0", "0.9.0", "0.10.0", "1.0.0-0", "1.0.0-9", "1.0.0-10", "1.0.0-10.a", "1.0.0--", "1.0.0-alpha", "1.0.0-alpha.1",
		"1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0",
		"1.0.1", "1.2", "2", "99999999999999999999.0.0", "100000000000000000000.0.0",
	}
	versions := make([]version, len(ascending))
	for i, s := range ascending {
		var ok bool
		if versions[i], ok = parseVersion(s); !ok {
			t.Fatalf("%s is not valid", s)
		}
	}
	for i := range versions {
		for j := range versions {
			want := min(1, max(-1, i-j))
			if got := versions[i].compare(versions[j]); got != want {
				t.Errorf("%s compared with %s: %d", ascending[i], ascending[j], got)
			}
		}
	}
}

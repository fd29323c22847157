package eval

import (
	"cmp"
	"strings"
)

// version is a semantic version (semver.org 2.0). Numbers are kept as their digits, so
// that none is too large.
type version struct{ major, minor, patch, prerelease string }

// parseVersion reads a version; a 'v' in front, '1' and '1.2' are accepted. Build
// metadata is checked and dropped.
func parseVersion(s string) (v version, ok bool) {
	if s != "" && (s[0] == 'v' || s[0] == 'V') {
		s = s[1:]
	}
	v.minor, v.patch = "0", "0"
	if v.major, s, ok = cutNumber(s); !ok || s == "" {
		return v, ok
	}
	if s[0] != '.' {
		return v, false
	}
	if v.minor, s, ok = cutNumber(s[1:]); !ok || s == "" {
		return v, ok
	}
	if s[0] != '.' {
		return v, false
	}
	if v.patch, s, ok = cutNumber(s[1:]); !ok {
		return v, false
	}
	s, build, hasBuild := strings.Cut(s, "+")
	if hasBuild && !validIdentifiers(build, false) {
		return v, false
	}
	if s == "" {
		return v, true
	}
	if s[0] != '-' || !validIdentifiers(s[1:], true) {
		return v, false
	}
	v.prerelease = s[1:]
	return v, true
}

// cutNumber cuts a number without leading zeros off s.
func cutNumber(s string) (number, rest string, ok bool) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i], s[i:], i == 1 || i > 1 && s[0] != '0'
}

// validIdentifiers checks dot-separated identifiers: letters, digits and hyphens; in a
// pre-release, numbers without leading zeros.
func validIdentifiers(s string, prerelease bool) bool {
	for more := true; more; {
		var id string
		id, s, more = strings.Cut(s, ".")
		if id == "" || prerelease && len(id) > 1 && id[0] == '0' && isNumber(id) {
			return false
		}
		for i := range len(id) {
			if !isDigit(id[i]) && id[i] != '-' && (id[i]|0x20 < 'a' || 'z' < id[i]|0x20) {
				return false
			}
		}
	}
	return true
}

func isNumber(s string) bool {
	_, ok := digits(s)
	return ok
}

func (v version) sameMajor(w version) bool { return v.major == w.major }
func (v version) sameMinor(w version) bool { return v.major == w.major && v.minor == w.minor }

// compare orders by precedence: -1, 0 or 1.
func (v version) compare(w version) int {
	return cmp.Or(
		compareNumbers(v.major, w.major),
		compareNumbers(v.minor, w.minor),
		compareNumbers(v.patch, w.patch),
		comparePrereleases(v.prerelease, w.prerelease),
	)
}

// compareNumbers orders digits without leading zeros.
func compareNumbers(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

func comparePrereleases(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "": // a release comes after its pre-releases
		return 1
	case b == "":
		return -1
	}
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if c := compareIdentifiers(x, y); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b)) // the one with more identifiers comes after
}

func compareIdentifiers(a, b string) int {
	switch aNumber, bNumber := isNumber(a), isNumber(b); {
	case aNumber && bNumber:
		return compareNumbers(a, b)
	case aNumber: // numbers come before words
		return -1
	case bNumber:
		return 1
	}
	return strings.Compare(a, b)
}

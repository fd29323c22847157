package eval

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func FuzzInstant(f *testing.F) {
	for _, s := range []string{
		"2026-03-01T12:00:00Z", "2024-02-29T23:59:59.999999999+14:00", "0000-01-01T00:00:00-00:01",
		"9999-12-31T23:59:59Z", "2026-03-01t12:00:00z", "2026-03-01T24:00:00Z", "2026-03-01T12:00:00.Z", "1900-02-29T00:00:00Z",
		"0000-01-01T00:00:00+24:00", "2026-03-01T12:00:00,5Z", "2026-03-01T1:00:00Z",
	} {
		f.Add(s)
	}
	f.Fuzz(fuzzInstant)
}

// rfc3339 has what time.Time.UnmarshalText does not insist on: two digits, a point before
// the fraction, an offset below a day.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// fuzzInstant holds the parser against the standard library's.
func fuzzInstant(t *testing.T, s string) {
	got, ok := parseInstant(s)
	var want time.Time
	upper := strings.ToUpper(s) // the RFC allows 't' and 'z'
	valid := want.UnmarshalText([]byte(upper)) == nil && rfc3339.MatchString(upper)
	if ok != valid {
		t.Fatalf("%q is valid: %v, want %v", s, ok, valid)
	}
	if ok && (got.sec != want.Unix() || int(got.nsec) != want.Nanosecond()) {
		t.Errorf("%q: %+v, want %d and %d", s, got, want.Unix(), want.Nanosecond())
	}
}

func TestInstantsOfEveryDay(t *testing.T) {
	previous, first := int64(0), true
	for year := range 2101 {
		for month := 1; month <= 12; month++ {
			for day := 1; day <= daysIn(year, month); day++ {
				n := daysSince1970(year, month, day)
				if !first && n != previous+1 {
					t.Fatalf("%04d-%02d-%02d is day %d, the day before %d", year, month, day, n, previous)
				}
				previous, first = n, false
			}
		}
	}
	if n := daysSince1970(1970, 1, 1); n != 0 {
		t.Errorf("1970-01-01 is day %d", n)
	}
}

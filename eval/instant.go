package eval

import (
	"cmp"
	"math"
)

// instant is a point in time: seconds since 1970 UTC and nanoseconds, 0 to 999,999,999.
type instant struct {
	sec  int64
	nsec int32
}

func (t instant) compare(u instant) int {
	if c := cmp.Compare(t.sec, u.sec); c != 0 {
		return c
	}
	return cmp.Compare(t.nsec, u.nsec)
}

func instantOfSeconds(f float64) (instant, bool) {
	floor := math.Floor(f)
	sec, ok := wholeNumber(floor)
	if !ok {
		return instant{}, false
	}
	return instant{sec: sec, nsec: int32((f - floor) * 1e9)}, true
}

// parseInstant reads an RFC 3339 date-time. (time.Parse allocates for errors and for
// offsets. As there, leap seconds are not valid.)
func parseInstant(s string) (instant, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") ||
		s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return instant{}, false
	}
	year, ok1 := digits(s[:4])
	month, ok2 := digits(s[5:7])
	day, ok3 := digits(s[8:10])
	hour, ok4 := digits(s[11:13])
	minute, ok5 := digits(s[14:16])
	second, ok6 := digits(s[17:19])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || month < 1 || month > 12 ||
		day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return instant{}, false
	}
	nsec, rest, ok := parseFraction(s[19:])
	if !ok {
		return instant{}, false
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return instant{}, false
	}
	sec := daysSince1970(year, month, day)*86400 + int64(hour*3600+minute*60+second)
	return instant{sec: sec - int64(offset), nsec: nsec}, true
}

// parseFraction reads an optional fraction of a second; digits past the ninth are
// dropped.
func parseFraction(s string) (nsec int32, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	i, scale := 1, int32(100_000_000)
	for ; i < len(s) && isDigit(s[i]); i++ {
		nsec += int32(s[i]-'0') * scale
		scale /= 10
	}
	return nsec, s[i:], i > 1
}

// parseOffset reads 'Z' or '+hh:mm' and returns seconds east of UTC.
func parseOffset(s string) (int, bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	hours, ok1 := digits(s[1:3])
	minutes, ok2 := digits(s[4:6])
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := hours*3600 + minutes*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts days of the proleptic Gregorian calendar. Years begin in March
// here, so that the leap day is the last one.
func daysSince1970(year, month, day int) int64 {
	if month < 3 {
		year--
		month += 12
	}
	// 153 days are the five months from March to July, and from August to December.
	days := 365*year + floorDiv(year, 4) - floorDiv(year, 100) + floorDiv(year, 400) + (153*(month-3)+2)/5 + day - 1
	return int64(days) - 719468 // days from 0000-03-01 to 1970-01-01
}

// floorDiv rounds down: year -1 (January and February of year 0) is in the era before.
func floorDiv(a, b int) int {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

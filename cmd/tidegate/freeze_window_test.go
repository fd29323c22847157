package main

import "testing"

// TestWindowTexts: windows are read as they are shown.
func TestWindowTexts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"weekend: fri 18:00 62h Europe/Berlin", "nights: mon,tue,wed,thu 22:00 9h30m America/New_York", "all: mon,tue,wed,thu,fri,sat,sun 00:00 1d UTC",
		"closing: 2026-12-20T00:00:00Z to 2027-01-04T08:00:00Z",
	} {
		w, err := parseWindow(text)
		if err != nil || windowText(w) != text {
			t.Errorf("%s: %v, %v", text, w, err)
		}
	}
	for text, want := range map[string]string{
		"w: sat-mon 18:00 1h UTC": "w: sat,sun,mon 18:00 1h UTC", "w: DAILY 18:00 1h UTC": "w: mon,tue,wed,thu,fri,sat,sun 18:00 1h UTC",
	} {
		w, err := parseWindow(text)
		if err != nil || windowText(w) != want {
			t.Errorf("%s: %v, %v", text, w, err)
		}
	}
	for _, text := range []string{"", "w", "w:", ": fri 18:00 1h UTC", "w: fri 18:00 1h", "w: fri 1800 1h UTC", "w: fri- 18:00 1h UTC", "w: 2026 to 2027", "w: fri 18:00 long UTC", "w: fri 18:00 -1h UTC"} {
		if w, err := parseWindow(text); err == nil {
			t.Errorf("%q: %v", text, w)
		}
	}
}

package freeze_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/freeze"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	monday   = controlv1.DayOfWeek_DAY_OF_WEEK_MONDAY
	friday   = controlv1.DayOfWeek_DAY_OF_WEEK_FRIDAY
	saturday = controlv1.DayOfWeek_DAY_OF_WEEK_SATURDAY
	sunday   = controlv1.DayOfWeek_DAY_OF_WEEK_SUNDAY
)

func weekly(zone, start string, d time.Duration, days ...controlv1.DayOfWeek) *controlv1.FreezeWindow {
	return &controlv1.FreezeWindow{Name: "w", When: &controlv1.FreezeWindow_Weekly{Weekly: &controlv1.WeeklyWindow{
		Days: days, Start: start, Duration: durationpb.New(d), TimeZone: zone,
	}}}
}

func once(start, end string) *controlv1.FreezeWindow {
	return &controlv1.FreezeWindow{Name: "w", When: &controlv1.FreezeWindow_Once{Once: &controlv1.OnceWindow{
		Start: timestamppb.New(at(start)), End: timestamppb.New(at(end)),
	}}}
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func settings(windows ...*controlv1.FreezeWindow) *controlv1.EnvironmentSettings {
	return &controlv1.EnvironmentSettings{FreezeWindows: windows}
}

// TestWindows asks for the first and the last nanosecond of windows, and those beside them. Times
// have the offset that the zone has then, so that they can be read as on the wall.
func TestWindows(t *testing.T) {
	t.Parallel()
	const berlin, newYork, second = "Europe/Berlin", "America/New_York", time.Second
	for name, c := range map[string]struct {
		window     *controlv1.FreezeWindow
		start, end string
	}{
		"once":                             {once("2026-12-20T00:00:00Z", "2027-01-04T08:00:00Z"), "2026-12-20T00:00:00Z", "2027-01-04T08:00:00Z"},
		"within a day":                     {weekly("UTC", "09:00", time.Hour, friday), "2026-11-27T09:00:00Z", "2026-11-27T10:00:00Z"},
		"across midnight":                  {weekly(berlin, "22:30", 9*time.Hour, friday), "2026-11-27T22:30:00+01:00", "2026-11-28T07:30:00+01:00"},
		"the week's end":                   {weekly(berlin, "18:00", 62*time.Hour, friday), "2026-11-27T18:00:00+01:00", "2026-11-30T08:00:00+01:00"},
		"Sunday into Monday":               {weekly(newYork, "23:00", 2*time.Hour, sunday), "2026-11-29T23:00:00-05:00", "2026-11-30T01:00:00-05:00"},
		"a whole week":                     {weekly("UTC", "12:00", 168*time.Hour, monday), "2026-11-23T12:00:00Z", "2026-11-30T12:00:00Z"},
		"the clocks go forward in it":      {weekly(berlin, "18:00", 62*time.Hour, friday), "2026-03-27T18:00:00+01:00", "2026-03-30T08:00:00+02:00"},
		"the clocks go back in it":         {weekly(berlin, "18:00", 62*time.Hour, friday), "2026-10-23T18:00:00+02:00", "2026-10-26T08:00:00+01:00"},
		"it starts in the hour skipped":    {weekly(berlin, "02:30", 2*time.Hour, sunday), "2026-03-29T01:30:00+01:00", "2026-03-29T04:30:00+02:00"},
		"it ends in the hour skipped":      {weekly(berlin, "23:00", 210*time.Minute, saturday), "2026-03-28T23:00:00+01:00", "2026-03-29T03:30:00+02:00"},
		"it starts in the hour repeated":   {weekly(berlin, "02:30", 2*time.Hour, sunday), "2026-10-25T02:30:00+02:00", "2026-10-25T04:30:00+01:00"},
		"it ends in the hour repeated":     {weekly(berlin, "23:00", 210*time.Minute, saturday), "2026-10-24T23:00:00+02:00", "2026-10-25T02:30:00+01:00"},
		"it is in the hour repeated":       {weekly(newYork, "01:15", 30*time.Minute, sunday), "2026-11-01T01:15:00-04:00", "2026-11-01T01:45:00-05:00"},
		"half an hour's change, Lord Howe": {weekly("Australia/Lord_Howe", "01:45", time.Hour, sunday), "2026-04-05T01:45:00+11:00", "2026-04-05T02:45:00+10:30"},
		"a day before UTC's":               {weekly("Pacific/Auckland", "00:00", 24*time.Hour, monday), "2026-11-30T00:00:00+13:00", "2026-12-01T00:00:00+13:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start, end, s := at(c.start), at(c.end), settings(c.window)
			if problems := freeze.Check("w", c.window); len(problems) > 0 {
				t.Fatal(problems)
			}
			for _, now := range []time.Time{start, start.Add(end.Sub(start) / 2), end.Add(-1)} {
				held := freeze.In(s, now)
				if len(held) == 0 || !held[0].GetSince().AsTime().Equal(start) || !held[0].GetUntil().AsTime().Equal(end) || held[0].GetWindow() != "w" {
					t.Errorf("at %v: %v, want %v to %v", now, held, start, end)
				}
			}
			if next := freeze.Next(s, start.Add(-second)); !next.GetSince().AsTime().Equal(start) || !next.GetUntil().AsTime().Equal(end) {
				t.Errorf("a second before, the next is %v", next)
			}
			if c.window.GetWeekly().GetDuration().AsDuration() == 168*time.Hour {
				return // it goes over into the next
			}
			for _, now := range []time.Time{start.Add(-1), end} {
				if held := freeze.In(s, now); len(held) > 0 {
					t.Errorf("at %v: %v", now, held)
				}
			}
			if until, ok := freeze.Until(nil, s, "e", start); !ok || !until.Equal(end) {
				t.Errorf("until %v, %t", until, ok)
			}
		})
	}
}

func TestUntilFollowsWhatComesNext(t *testing.T) {
	t.Parallel()
	nights := weekly("UTC", "20:00", 12*time.Hour, friday)
	weekend := weekly("UTC", "08:00", 48*time.Hour, saturday)
	s := settings(nights, weekend)
	now := at("2026-11-27T21:00:00Z")
	if until, ok := freeze.Until(nil, s, "e", now); !ok || !until.Equal(at("2026-11-30T08:00:00Z")) {
		t.Errorf("one window goes over into another: until %v, %t", until, ok)
	}
	if until, ok := freeze.Until(nil, settings(weekly("UTC", "00:00", 168*time.Hour, monday)), "e", now); ok {
		t.Errorf("always: until %v", until)
	}
	byHand := &controlv1.Freezes{Freezes: []*controlv1.Freeze{{Environment: "e", Actor: "ada", Until: timestamppb.New(at("2026-11-30T09:00:00Z"))}}}
	if until, ok := freeze.Until(byHand, s, "e", now); !ok || !until.Equal(at("2026-11-30T09:00:00Z")) {
		t.Errorf("somebody froze it for longer: until %v, %t", until, ok)
	}
	byHand.Freezes[0].Until = nil
	if until, ok := freeze.Until(byHand, s, "e", now); ok {
		t.Errorf("until it is lifted: %v", until)
	}
	if until, ok := freeze.Until(nil, nil, "e", now); ok {
		t.Errorf("not frozen, until %v", until)
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	now := at("2026-11-27T12:00:00Z")
	all := &controlv1.Freezes{Freezes: []*controlv1.Freeze{
		{Environment: "a", Actor: "ada", Reason: "down", Until: timestamppb.New(now.Add(time.Hour))},
		{Environment: "b", Actor: "over", Until: timestamppb.New(now)},
		{Actor: "eve"},
	}}
	names := func(environment string, s *controlv1.EnvironmentSettings) (list string) {
		for _, f := range freeze.At(all, s, environment, now) {
			list += f.GetActor() + f.GetWindow() + " "
			if f.GetEverywhere() != (f.GetActor() == "eve") {
				t.Errorf("%v", f)
			}
		}
		return list
	}
	for _, c := range []struct {
		environment, want string
		s                 *controlv1.EnvironmentSettings
	}{
		{"a", "eve ada ", nil},
		{"b", "eve ", nil},
		{"c", "eve ", nil},
		{"a", "eve w ada ", settings(once("2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"))},
	} {
		if got := names(c.environment, c.s); got != c.want {
			t.Errorf("%s: %q, want %q", c.environment, got, c.want)
		}
	}
	all.Freezes = all.Freezes[:2]
	if got := names("b", nil); got != "" {
		t.Errorf("what is over: %q", got)
	}
	if next := freeze.Next(settings(once("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")), now); next != nil {
		t.Errorf("what is over comes next: %v", next)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	twice := weekly("UTC", "08:00", time.Hour, friday, monday, friday)
	for want, w := range map[string]*controlv1.FreezeWindow{
		"f: needs a time: once, or weekly":                                                                            {Name: "w"},
		"f.once: start and end are required":                                                                          {When: &controlv1.FreezeWindow_Once{Once: &controlv1.OnceWindow{Start: timestamppb.Now()}}},
		"f.once.end: must be after the start, 2026-01-02T00:00:00Z; got 2026-01-01T00:00:00Z":                         once("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
		"f.weekly.days: at least one is required: the days on which it starts":                                        weekly("UTC", "08:00", time.Hour),
		"f.weekly.days[0]: 9 is not a day of the week":                                                                weekly("UTC", "08:00", time.Hour, 9),
		"f.weekly.days[2]: is given twice":                                                                            twice,
		`f.weekly.start: must be a time of day as 'HH:MM', 00:00 to 23:59; got "8:00"`:                                weekly("UTC", "8:00", time.Hour, friday),
		`f.weekly.start: must be a time of day as 'HH:MM', 00:00 to 23:59; got "24:00"`:                               weekly("UTC", "24:00", time.Hour, friday),
		"f.weekly.duration: must be above 0 and at most 168h0m0s; got 0s":                                             weekly("UTC", "08:00", 0, friday),
		"f.weekly.duration: must be above 0 and at most 168h0m0s; got 168h1m0s":                                       weekly("UTC", "08:00", 168*time.Hour+time.Minute, friday),
		"f.weekly.duration: must be whole minutes; got 1m1s":                                                          weekly("UTC", "08:00", 61*time.Second, friday),
		"f.weekly.time_zone: is required: a name of the IANA database, such as 'Europe/Berlin' or 'UTC'":              weekly("", "08:00", time.Hour, friday),
		`f.weekly.time_zone: "Mars" is not known: want a name of the IANA database, such as 'Europe/Berlin' or 'UTC'`: weekly("Mars", "08:00", time.Hour, friday),
	} {
		if got := freeze.Check("f", w).Error(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

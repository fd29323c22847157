package freeze

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// MaxWindows is how many windows an environment may have.
const MaxWindows = 64

// Check says what is wrong with the times of a window; names and texts are not looked at.
func Check(field string, w *controlv1.FreezeWindow) eval.Errors {
	var problems eval.Errors
	add := func(field, format string, args ...any) {
		problems = append(problems, eval.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	switch {
	case w.GetOnce() != nil:
		once, at := w.GetOnce(), field+".once"
		switch {
		case once.GetStart() == nil || once.GetEnd() == nil:
			add(at, "start and end are required")
		case !once.GetStart().IsValid() || !once.GetEnd().IsValid():
			add(at, "start and end must be times of the years 1 to 9999")
		case !once.GetStart().AsTime().Before(once.GetEnd().AsTime()):
			add(at+".end", "must be after the start, %s; got %s", clock(once.GetStart().AsTime()), clock(once.GetEnd().AsTime()))
		}
	case w.GetWeekly() != nil:
		checkWeekly(field+".weekly", w.GetWeekly(), add)
	default:
		add(field, "needs a time: once, or weekly")
	}
	return problems
}

func checkWeekly(field string, w *controlv1.WeeklyWindow, add func(field, format string, args ...any)) {
	if len(w.GetDays()) == 0 {
		add(field+".days", "at least one is required: the days on which it starts")
	}
	for i, day := range w.GetDays() {
		switch _, known := controlv1.DayOfWeek_name[int32(day)]; {
		case day == controlv1.DayOfWeek_DAY_OF_WEEK_UNSPECIFIED || !known:
			add(fmt.Sprintf("%s.days[%d]", field, i), "%d is not a day of the week", day)
		case slices.Contains(w.GetDays()[:i], day):
			add(fmt.Sprintf("%s.days[%d]", field, i), "is given twice")
		}
	}
	if _, _, ok := timeOfDay(w.GetStart()); !ok {
		add(field+".start", "must be a time of day as 'HH:MM', 00:00 to 23:59; got %.40q", w.GetStart())
	}
	d := w.GetDuration()
	switch length := d.AsDuration(); {
	case d == nil || !d.IsValid() || length <= 0 || length > longestWeekly:
		add(field+".duration", "must be above 0 and at most %v; got %v", longestWeekly, length)
	case length%time.Minute != 0:
		add(field+".duration", "must be whole minutes; got %v", length)
	}
	switch name := w.GetTimeZone(); name {
	case "", "Local":
		add(field+".time_zone", "is required: a name of the IANA database, such as 'Europe/Berlin' or 'UTC'")
	default:
		if _, err := time.LoadLocation(name); err != nil {
			add(field+".time_zone", "%.80q is not known: want a name of the IANA database, such as 'Europe/Berlin' or 'UTC'", name)
		}
	}
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

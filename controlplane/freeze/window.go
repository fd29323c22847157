package freeze

import (
	"regexp"
	"strconv"
	"time"
	_ "time/tzdata" // zones are known on machines without a database of them, too

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

const (
	week = 7 * 24 * time.Hour
	// longestWeekly is the longest that a weekly window lasts.
	longestWeekly = week
)

// span is one time that a window comes: from start to end, without that.
type span struct{ start, end time.Time }

func (s span) holds(now time.Time) bool { return !now.Before(s.start) && now.Before(s.end) }

func (s span) of(w *controlv1.FreezeWindow) *rolloutv1.Frozen {
	return &rolloutv1.Frozen{
		Window: w.GetName(), Reason: w.GetExplanation(), Since: timestamppb.New(s.start), Until: timestamppb.New(s.end),
	}
}

// spansAround are the times that a window comes which may hold now, and at least one that is to
// come, if there is one.
func spansAround(w *controlv1.FreezeWindow, now time.Time) []span {
	if once := w.GetOnce(); once != nil {
		return []span{{once.GetStart().AsTime(), once.GetEnd().AsTime()}}
	}
	weekly := w.GetWeekly()
	zone, err := time.LoadLocation(weekly.GetTimeZone())
	hour, minute, ok := timeOfDay(weekly.GetStart())
	if err != nil || !ok || weekly.GetTimeZone() == "" {
		return nil // which Check does not let in
	}
	var spans []span
	today := now.In(zone)
	// A week and a day before, as one may last a week; as much after, as one may come once a week.
	for offset := -8; offset <= 8; offset++ {
		// At noon, to be on the day that is meant.
		day := time.Date(today.Year(), today.Month(), today.Day()+offset, 12, 0, 0, 0, time.UTC)
		if !starts(weekly, day.Weekday()) {
			continue
		}
		begins := time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, time.UTC)
		start, _ := onWall(begins, zone)
		_, end := onWall(begins.Add(weekly.GetDuration().AsDuration()), zone)
		spans = append(spans, span{start, end})
	}
	return spans
}

func starts(w *controlv1.WeeklyWindow, day time.Weekday) bool {
	for _, d := range w.GetDays() {
		if time.Weekday(int(d)%7) == day { // Sunday is the seventh here, and time's first, 0
			return true
		}
	}
	return false
}

// onWall is when the clock on the wall of a zone shows what wall says, which is in UTC for want
// of a zone: the first and the last time that it does. Where the clock skips it, it is the moment
// before and the one after that the skipped time would be at by the old time and by the new: so
// what starts there starts early, and what ends there ends late.
func onWall(wall time.Time, zone *time.Location) (first, last time.Time) {
	all := make([]time.Time, 0, 2)
	var shown []time.Time
	// A day before and after, the zone is what it is before and after its clock is changed.
	for _, near := range []time.Time{wall.Add(-24 * time.Hour), wall.Add(24 * time.Hour)} {
		_, offset := near.In(zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		all = append(all, at)
		if _, there := at.In(zone).Zone(); there == offset {
			shown = append(shown, at)
		}
	}
	if len(shown) == 0 {
		shown = all
	}
	first, last = shown[0], shown[len(shown)-1]
	if last.Before(first) {
		first, last = last, first
	}
	return first, last
}

var timeOfDayPattern = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)

// timeOfDay reads 'HH:MM'.
func timeOfDay(text string) (hour, minute int, ok bool) {
	found := timeOfDayPattern.FindStringSubmatch(text)
	if found == nil {
		return 0, 0, false
	}
	hour, _ = strconv.Atoi(found[1]) // two digits, as the pattern has it
	minute, _ = strconv.Atoi(found[2])
	return hour, minute, true
}

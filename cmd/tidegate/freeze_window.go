package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// windowSetting is what the flags of 'environment set' say of freeze windows.
type windowSetting struct {
	texts       []string
	explanation string
	ended       []string
	windows     []*controlv1.FreezeWindow // of the texts
}

func (s *windowSetting) register(f *pflag.FlagSet) {
	f.StringArrayVar(&s.texts, "freeze-window", nil, "`WINDOW` in which nothing is changed but what makes it safer: 'NAME: DAYS HH:MM DURATION ZONE' each week, or 'NAME: START to END' once; may be repeated")
	f.StringVar(&s.explanation, "freeze-explanation", "", "with --freeze-window: what people are told with a refusal")
	f.StringArrayVar(&s.ended, "end-freeze-window", nil, "`NAME` of a freeze window to remove; may be repeated")
}

// check reads what was mentioned.
func (s *windowSetting) check() error {
	if s.explanation != "" && len(s.texts) == 0 {
		return usagef("say of which window: --freeze-window is missing")
	}
	for _, text := range s.texts {
		w, err := parseWindow(text)
		if err != nil {
			return usagef("--freeze-window %q: %v", text, err)
		}
		w.Explanation = s.explanation
		s.windows = append(s.windows, w)
	}
	return nil
}

// apply sets or removes the windows that were mentioned.
func (s *windowSetting) apply(settings *controlv1.EnvironmentSettings) error {
	named := func(name string) func(*controlv1.FreezeWindow) bool {
		return func(w *controlv1.FreezeWindow) bool { return w.GetName() == name }
	}
	for _, name := range s.ended {
		before := settings.GetFreezeWindows()
		if !slices.ContainsFunc(before, named(name)) {
			return fmt.Errorf("there is no freeze window %q; there are: %s", name, windowNames(before))
		}
		settings.FreezeWindows = slices.DeleteFunc(before, named(name))
	}
	for _, w := range s.windows {
		if i := slices.IndexFunc(settings.GetFreezeWindows(), named(w.GetName())); i >= 0 {
			settings.FreezeWindows[i] = w
			continue
		}
		settings.FreezeWindows = append(settings.FreezeWindows, w)
	}
	return nil
}

func windowNames(windows []*controlv1.FreezeWindow) string {
	if len(windows) == 0 {
		return "none"
	}
	names := make([]string, len(windows))
	for i, w := range windows {
		names[i] = w.GetName()
	}
	return strings.Join(names, ", ")
}

var weeklyPattern = regexp.MustCompile(`^(\S+)\s+(\d\d:\d\d)\s+(\S+)\s+(\S+)$`)

// parseWindow reads 'weekend: fri 18:00 62h Europe/Berlin' or
// 'closing: 2026-12-20T00:00:00Z to 2027-01-04T08:00:00Z'. What the server checks is left to it.
func parseWindow(text string) (*controlv1.FreezeWindow, error) {
	name, when, ok := strings.Cut(text, ":")
	name, when = strings.TrimSpace(name), strings.TrimSpace(when)
	const want = "want 'weekend: fri 18:00 62h Europe/Berlin' or 'closing: 2026-12-20T00:00:00Z to 2027-01-04T08:00:00Z'"
	if !ok || name == "" || when == "" {
		return nil, fmt.Errorf("%s", want)
	}
	w := &controlv1.FreezeWindow{Name: name}
	if start, end, once := strings.Cut(when, " to "); once {
		from, err := time.Parse(time.RFC3339, strings.TrimSpace(start))
		to, endErr := time.Parse(time.RFC3339, strings.TrimSpace(end))
		if err != nil || endErr != nil {
			return nil, fmt.Errorf("%s", want)
		}
		w.When = &controlv1.FreezeWindow_Once{Once: &controlv1.OnceWindow{Start: timestamppb.New(from), End: timestamppb.New(to)}}
		return w, nil
	}
	found := weeklyPattern.FindStringSubmatch(when)
	if found == nil {
		return nil, fmt.Errorf("%s", want)
	}
	days, err := parseDays(found[1])
	if err != nil {
		return nil, err
	}
	lasts, err := rollout.ParseDuration(found[3])
	if err != nil {
		return nil, err
	}
	w.When = &controlv1.FreezeWindow_Weekly{Weekly: &controlv1.WeeklyWindow{
		Days: days, Start: found[2], Duration: durationpb.New(lasts), TimeZone: found[4],
	}}
	return w, nil
}

var dayNames = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// parseDays reads 'mon,wed', 'mon-fri' or 'daily'.
func parseDays(text string) ([]controlv1.DayOfWeek, error) {
	if text = strings.ToLower(text); text == "daily" {
		text = "mon-sun"
	}
	var days []controlv1.DayOfWeek
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(dayNames, first), slices.Index(dayNames, last)
		if from < 0 || to < 0 {
			return nil, fmt.Errorf("%q: want days such as mon,wed or mon-fri or daily", part)
		}
		for day := from; ; day = (day + 1) % len(dayNames) {
			days = append(days, controlv1.DayOfWeek(day+1))
			if day == to {
				break
			}
		}
	}
	return days, nil
}

// windowText is a window as parseWindow reads it, with its explanation.
func windowText(w *controlv1.FreezeWindow) string {
	text := w.GetName() + ": "
	if once := w.GetOnce(); once != nil {
		text += once.GetStart().AsTime().Format(time.RFC3339) + " to " + once.GetEnd().AsTime().Format(time.RFC3339)
	} else {
		weekly := w.GetWeekly()
		var days []string
		for _, d := range weekly.GetDays() {
			if i := int(d) - 1; i >= 0 && i < len(dayNames) {
				days = append(days, dayNames[i])
			}
		}
		text += fmt.Sprintf("%s %s %s %s", strings.Join(days, ","), weekly.GetStart(), rollout.FormatDuration(weekly.GetDuration().AsDuration()), weekly.GetTimeZone())
	}
	if w.GetExplanation() != "" {
		text += " (" + w.GetExplanation() + ")"
	}
	return text
}

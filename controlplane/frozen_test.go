package controlplane

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestFrozenWords: what is refused says who froze the environment, why, since when, what still works
// and how it ends, whatever froze it.
func TestFrozenWords(t *testing.T) {
	at := func(hour int) *timestamppb.Timestamp {
		return timestamppb.New(time.Date(2026, 11, 27, hour, 0, 0, 0, time.UTC)) // a Friday
	}
	by := func(environment string, until *timestamppb.Timestamp) *controlv1.Freeze {
		return &controlv1.Freeze{Environment: environment, Actor: "ada", Reason: "checkout is down", Since: at(9), Until: until}
	}
	once := &controlv1.FreezeWindow{Name: "closing", Explanation: "ask finance", When: &controlv1.FreezeWindow_Once{
		Once: &controlv1.OnceWindow{Start: at(8), End: at(18)},
	}}
	weekly := &controlv1.FreezeWindow{Name: "weekend", Explanation: "nobody is there", When: &controlv1.FreezeWindow_Weekly{Weekly: &controlv1.WeeklyWindow{
		Days: []controlv1.DayOfWeek{controlv1.DayOfWeek_DAY_OF_WEEK_FRIDAY}, Start: "09:30", Duration: durationpb.New(62 * time.Hour), TimeZone: "UTC",
	}}}
	const works = `; nothing was written; what still works: 'flag disable', 'flag enable' of operational flags, 'rollout pause', 'rollout abort', 'environment restore'`
	for name, c := range map[string]struct {
		freezes []*controlv1.Freeze
		windows []*controlv1.FreezeWindow
		want    string
	}{
		"one": {
			freezes: []*controlv1.Freeze{by("production", nil)},
			want: `environment "production" is frozen by ada since 2026-11-27 09:00:00Z: checkout is down` + works +
				`; an operator lifts it with 'tidegate panic lift -e production'`,
		},
		"one, for a while": {
			freezes: []*controlv1.Freeze{by("production", at(12))},
			want: `environment "production" is frozen by ada since 2026-11-27 09:00:00Z until 2026-11-27 12:00:00Z: checkout is down` + works +
				`; it ends by itself then; sooner, an operator lifts it with 'tidegate panic lift -e production'`,
		},
		"all environments": {
			freezes: []*controlv1.Freeze{by("", nil)},
			want: `environment "production", like all others, is frozen by ada since 2026-11-27 09:00:00Z: checkout is down` + works +
				`; an operator of all environments lifts it for all of them with 'tidegate panic lift'`,
		},
		"all environments, and this one": {
			freezes: []*controlv1.Freeze{by("production", at(12)), by("", nil)},
			want: `environment "production", like all others, is frozen by ada since 2026-11-27 09:00:00Z: checkout is down (and 1 more freeze or window: see 'tidegate panic status')` + works +
				`; an operator of all environments lifts it for all of them with 'tidegate panic lift'`,
		},
		"a window, once": {
			windows: []*controlv1.FreezeWindow{once},
			want: `environment "production" is in freeze window 'closing' since 2026-11-27 08:00:00Z until 2026-11-27 18:00:00Z: ask finance` + works +
				`, 'environment set'; it ends by itself then; sooner, an administrator ends it with 'tidegate environment set production --end-freeze-window closing'`,
		},
		"a window, weekly": {
			windows: []*controlv1.FreezeWindow{weekly},
			want: `environment "production" is in freeze window 'weekend' since 2026-11-27 09:30:00Z until 2026-11-29 23:30:00Z: nobody is there` + works +
				`, 'environment set'; it ends by itself then; sooner, an administrator ends it with 'tidegate environment set production --end-freeze-window weekend'`,
		},
		"everything": {
			freezes: []*controlv1.Freeze{by("production", at(12)), by("", at(13)), by("staging", nil)}, windows: []*controlv1.FreezeWindow{once, weekly},
			want: `environment "production" is in freeze window 'weekend' since 2026-11-27 09:30:00Z until 2026-11-29 23:30:00Z: nobody is there (and 3 more freezes or windows: see 'tidegate panic status')` + works +
				`, 'environment set'; it ends by itself then; sooner, an administrator ends it with 'tidegate environment set production --end-freeze-window weekend'`,
		},
	} {
		freezes := version{revision: 1, message: &controlv1.Freezes{Freezes: c.freezes}}
		settings := version{revision: 1, message: &controlv1.EnvironmentSettings{FreezeWindows: c.windows}}
		frozen, err := frozenAt(freezes, settings, production, at(10).AsTime())
		if err != nil || len(frozen) == 0 {
			t.Fatalf("%s: %v, %v", name, frozen, err)
		}
		if got := frozenError(production, frozen).Error(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

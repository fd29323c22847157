package flagtest_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/clientsdk"
	"github.com/tidegate/tidegate/clientsdk/flagtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func TestValues(t *testing.T) {
	type config struct {
		Model string `json:"model"`
	}
	flags := flagtest.New(t, map[string]any{
		"bool": true, "string": "text", "int": 42, "float": 0.5, "object": config{Model: "m-1"}, "map": map[string]any{"a": 1},
	})
	user := clientsdk.User("u")
	if !flags.IsEnabled(ctx, "bool", user) || flags.String(ctx, "string", user, "") != "text" ||
		flags.Int(ctx, "int", user, 0) != 42 || flags.Float(ctx, "float", user, 0) != 0.5 {
		t.Error("a value is not served")
	}
	if d := clientsdk.ObjectAs(ctx, flags, "object", user, config{}); d.Value.Model != "m-1" {
		t.Errorf("object: %+v", d)
	}
	if got := flags.Object(ctx, "map", user, nil); got["a"] != 1.0 {
		t.Errorf("map: %v", got)
	}
}

func TestChangesAtRunTime(t *testing.T) {
	flags := flagtest.New(t, map[string]any{"a": false})
	var changes [][]string
	flags.OnChange(func(keys []string) { changes = append(changes, keys) })
	user := clientsdk.User("u")
	flags.Set("a", true)
	if !flags.IsEnabled(ctx, "a", user) {
		t.Error("Set is not seen")
	}
	flags.Disable("a")
	if d := flags.BooleanDetails(ctx, "a", user, false); d.Value || d.Reason != clientsdk.ReasonDisabled {
		t.Errorf("Disable: %+v", d)
	}
	flags.Enable("a")
	if !flags.IsEnabled(ctx, "a", user) {
		t.Error("Enable is not seen")
	}
	flags.Set("a", "now a string")
	flags.Delete("a")
	if d := flags.StringDetails(ctx, "a", user, ""); d.ErrorCode != clientsdk.ErrorFlagNotFound {
		t.Errorf("Delete: %+v", d)
	}
	if len(changes) != 5 || !slices.Equal(changes[4], []string{"a"}) {
		t.Errorf("changes %v", changes)
	}
}

func TestSetFor(t *testing.T) {
	flags := flagtest.New(t, map[string]any{"limit": 10})
	flags.SetFor("limit", 100, "vip-1", "vip-2")
	flags.SetFor("limit", 0, "vip-2")
	flags.SetFor("new", "x", "vip-1")
	for user, want := range map[string]int64{"vip-1": 100, "vip-2": 0, "other": 10} {
		if got := flags.Int(ctx, "limit", clientsdk.User(user), -1); got != want {
			t.Errorf("limit of %s is %d, want %d", user, got, want)
		}
	}
	if got := flags.String(ctx, "new", clientsdk.User("other"), "default"); got != "default" {
		t.Errorf("new is %q to others", got)
	}
}

func TestLoadYAML(t *testing.T) {
	flags := flagtest.New(t, nil)
	flags.LoadYAML(`
apiVersion: tidegate/v1
flags:
  checkout:
    type: boolean
    enabled: true
    variants: {on: true, off: false}
    offVariant: off
    rules:
      - id: staff
        when: [{inSegment: staff}]
        serve: on
    default: off
segments:
  staff:
    included: [ann]
`)
	for user, want := range map[string]clientsdk.Reason{"ann": clientsdk.ReasonTargetingMatch, "bob": clientsdk.ReasonDefault} {
		if d := flags.BooleanDetails(ctx, "checkout", clientsdk.User(user), false); d.Reason != want || d.Value != (user == "ann") {
			t.Errorf("%s: %+v", user, d)
		}
	}
}

func TestLoadExamples(t *testing.T) {
	flags := flagtest.New(t, nil)
	flags.Load(filepath.Join("..", "..", "examples", "flags.yaml"))
	if !flags.IsEnabled(ctx, "new-checkout", clientsdk.User("u").With("country", "Canada")) {
		t.Error("new-checkout is off in Canada")
	}
}

func TestEvaluationsAreRecorded(t *testing.T) {
	flags := flagtest.New(t, map[string]any{"a": true})
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() { flags.IsEnabled(ctx, "a", clientsdk.User(fmt.Sprint(i))) })
	}
	callers.Wait()
	seen := map[string]bool{}
	for _, e := range flags.Evaluations() {
		if e.FlagKey != "a" || e.Variant != "on" {
			t.Errorf("%+v", e)
		}
		seen[e.Context.TargetingKey()] = true
	}
	if len(seen) != 4 {
		t.Errorf("saw %v", seen)
	}
}

// fatal is a testing.TB that notes how the test would have ended.
type fatal struct {
	testing.TB
	message string
}

func (f *fatal) Helper()        {}
func (f *fatal) Cleanup(func()) {}
func (f *fatal) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestMisuseEndsTheTest(t *testing.T) {
	for name, tt := range map[string]struct {
		misuse func(*flagtest.Client)
		want   string
	}{
		"value":         {func(c *flagtest.Client) { c.Set("a", []int{1}) }, "cannot be a flag's value"},
		"nil":           {func(c *flagtest.Client) { c.Set("a", nil) }, "cannot be a flag's value"},
		"key":           {func(c *flagtest.Client) { c.Set("a b", true) }, "a b"},
		"large integer": {func(c *flagtest.Client) { c.Set("a", int64(1)<<60) }, "2^53"},
		"other type":    {func(c *flagtest.Client) { c.Set("a", true); c.SetFor("a", "x", "u") }, "is of type"},
		"unknown flag":  {func(c *flagtest.Client) { c.Disable("none") }, "none"},
		"no file":       {func(c *flagtest.Client) { c.Load("none.yaml") }, "none.yaml"},
		"bad YAML":      {func(c *flagtest.Client) { c.LoadYAML("flags: 7") }, "LoadYAML:1"},
	} {
		t.Run(name, func(t *testing.T) {
			tb := &fatal{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				tt.misuse(flagtest.New(tb, nil))
			}()
			<-done
			if !strings.HasPrefix(tb.message, "flagtest: ") || !strings.Contains(tb.message, tt.want) {
				t.Errorf("message %q, want %q", tb.message, tt.want)
			}
		})
	}
}

// A test chooses the region and the time that rules see.
func TestRegionAndTime(t *testing.T) {
	const monday = "2026-11-23T08:30:00Z"
	now, err := time.Parse(time.RFC3339, monday)
	if err != nil {
		t.Fatal(err)
	}
	flags := flagtest.New(t, nil, clientsdk.WithRegion("eu-west"), clientsdk.WithClock(func() time.Time { return now }))
	flags.LoadYAML(`
apiVersion: tidegate/v1
flags:
  support-chat:
    type: boolean
    enabled: true
    variants: {on: true, off: false}
    rules:
      - id: office-hours
        when:
          - {attribute: $tidegate.region, in: [eu-west]}
          - {attribute: $tidegate.weekday, lessThanOrEqual: 5}
          - {attribute: $tidegate.timeOfDay, greaterThanOrEqual: 8.5}
          - {attribute: $tidegate.timeOfDay, lessThan: 17}
        serve: on
    default: off
`)
	// What a caller claims does not count.
	user := clientsdk.User("u").With("$tidegate.weekday", 1).With("$tidegate", map[string]any{"timeOfDay": 9})
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true},
		{-time.Second, false},
		{8*time.Hour + 30*time.Minute - time.Second, true},
		{8*time.Hour + 30*time.Minute, false},
		{4 * 24 * time.Hour, true},
		{5 * 24 * time.Hour, false},
		{6 * 24 * time.Hour, false},
		{7 * 24 * time.Hour, true},
	} {
		now, _ = time.Parse(time.RFC3339, monday)
		now = now.Add(test.after)
		if got := flags.IsEnabled(ctx, "support-chat", user); got != test.want {
			t.Errorf("at %v: %t", now, got)
		}
		if got := flags.BooleanDetails(ctx, "support-chat", user, false); got.Value != test.want {
			t.Errorf("at %v, with details: %t", now, got.Value)
		}
	}
	if n := len(flags.Evaluations()); n != 16 {
		t.Errorf("%d evaluations recorded", n)
	}
}

// TestTracked: a test sees what its code tracked, and what was wrong with it.
func TestTracked(t *testing.T) {
	flags := flagtest.New(t, nil)
	user := clientsdk.User("u")
	flags.TrackEvent(ctx, "errors", user, true, clientsdk.ForFlag("f"))
	flags.TrackDuration(ctx, "latency", user, -time.Second)
	flags.TrackOutcome(ctx, "fraud", user, clientsdk.PredictedScore(0.5).WithActual(true))
	if all := flags.Tracked(""); len(all) != 3 || all[0].Metric != "errors" || all[2].String() != "predicted 0.5, was positive" {
		t.Errorf("%v", all)
	}
	errors := flags.Tracked("errors")
	if len(errors) != 1 || errors[0].Observation != clientsdk.ObservedEvent(true) || errors[0].FlagKey != "f" || errors[0].Context.TargetingKey() != "u" || errors[0].Problem != "" {
		t.Errorf("%+v", errors)
	}
	if latency := flags.Tracked("latency"); len(latency) != 1 || !strings.Contains(latency[0].Problem, "negative") {
		t.Errorf("%+v", latency)
	}
	flags.Reset()
	if all := flags.Tracked(""); len(all) != 0 {
		t.Errorf("%v", all)
	}
}

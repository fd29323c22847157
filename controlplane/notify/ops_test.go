package notify_test

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

func targetsOf(ops []store.Op) []string {
	var names []string
	for _, op := range ops {
		names = append(names, strings.Split(strings.TrimPrefix(op.Key, "/tidegate/v1/n/"), "/")[0])
	}
	return names
}

func TestWhoIsTold(t *testing.T) {
	log := &syncBuffer{}
	b := &bed{t: t, store: memstore.New(), log: log}
	n := b.notifier(nil, nil)
	if ops := n.Ops(event(1)); len(ops) > 0 {
		t.Errorf("nobody is there, and %d are told", len(ops))
	}
	n, err := notify.New(notify.Options{Store: b.store, Targets: []notify.Target{
		{Name: "all", Sender: &receiver{}},
		{Name: "production", Sender: &receiver{}, Environments: []string{"production"}},
		{Name: "staging", Sender: &receiver{}, Environments: []string{"dev", "staging"}},
		{Name: "every-step", Sender: &receiver{}, Kinds: notify.Kinds()},
		{Name: "alarms", Sender: &receiver{}, Kinds: []notify.Kind{notify.RolledBack, notify.Tripped}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		kind        notify.Kind
		environment string
		notify      []string
		want        []string
	}{
		{"rolled back", notify.RolledBack, "production", nil, []string{"all", "production", "every-step", "alarms"}},
		{"tripped", notify.Tripped, "staging", nil, []string{"all", "staging", "every-step", "alarms"}},
		{"completed", notify.Completed, "dev", nil, []string{"all", "staging", "every-step"}},
		{"started", notify.Started, "production", nil, []string{"all", "production", "every-step"}},
		{"aborted", notify.Aborted, "qa", nil, []string{"all", "every-step"}},
		{"advanced", notify.Advanced, "production", nil, []string{"every-step"}},
		{"held", notify.Held, "production", nil, []string{"every-step"}},
		{"paused", notify.Paused, "production", nil, []string{"every-step"}},
		{"some are named", notify.RolledBack, "production", []string{"alarms", "all"}, []string{"all", "alarms"}},
		{"named, but not for it", notify.RolledBack, "production", []string{"staging"}, nil},
		{"nobody of the name", notify.RolledBack, "production", []string{"alrams"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := event(1)
			e.Kind, e.Environment, e.Notify = c.kind, c.environment, c.notify
			if got := targetsOf(n.Ops(e)); !slices.Equal(got, c.want) {
				t.Errorf("told: %q, not %q", got, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ environments, want []string }{
		"all are frozen":  {nil, []string{"all", "production", "staging", "every-step"}},
		"some are frozen": {[]string{"dev", "qa"}, []string{"all", "staging", "every-step"}},
	} {
		for _, kind := range []notify.Kind{notify.Frozen, notify.Lifted} {
			e := notify.Event{Kind: kind, Environments: c.environments}
			if got := targetsOf(n.Ops(e)); !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: told: %q, not %q", name, kind, got, c.want)
			}
		}
	}
	if got := n.Unknown([]string{"all", "alrams"}); !slices.Equal(got, []string{"alrams"}) {
		t.Errorf("unknown: %q", got)
	}
}

func TestNewChecksTargets(t *testing.T) {
	ok := notify.Target{Name: "a", Sender: &receiver{}}
	many := make([]notify.Target, notify.MaxTargets+1)
	for _, c := range []struct {
		name    string
		options notify.Options
		want    string
	}{
		{"no store", notify.Options{Targets: []notify.Target{ok}}, "Store"},
		{"twice", notify.Options{Store: memstore.New(), Targets: []notify.Target{ok, ok}}, `"a" is there twice`},
		{"slash", notify.Options{Store: memstore.New(), Targets: []notify.Target{{Name: "a/b", Sender: ok.Sender}}}, `"a/b"`},
		{"no sender", notify.Options{Store: memstore.New(), Targets: []notify.Target{{Name: "a"}}}, "sender"},
		{"kind", notify.Options{Store: memstore.New(), Targets: []notify.Target{{Name: "a", Sender: ok.Sender, Kinds: []notify.Kind{"rolledback"}}}}, "rolled_back"},
		{"many", notify.Options{Store: memstore.New(), Targets: many}, "at most 32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := notify.New(c.options); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error: %v, not one with %q", err, c.want)
			}
		})
	}
}

// An event's ID is its own: the same again, and another one for all that differs.
func TestIdentity(t *testing.T) {
	b := &bed{t: t, store: memstore.New(), log: &syncBuffer{}}
	n := b.notifier(map[string]notify.Sender{"a": &receiver{}}, nil)
	seen := map[string]int{}
	for i, change := range []func(*notify.Event){
		func(*notify.Event) {},
		func(e *notify.Event) { e.Kind = notify.Tripped },
		func(e *notify.Event) { e.Environment = "dev" },
		func(e *notify.Event) { e.Rollout = "checkout-v3" },
		func(e *notify.Event) { e.Decision = 8 },
		func(e *notify.Event) { e.Time = e.Time.Add(time.Second) },
		func(e *notify.Event) { e.Kind, e.Relay = notify.Tripped, "eu-1" },
		func(e *notify.Event) { e.Kind, e.Actor = notify.Aborted, "alice" },
	} {
		e := event(7)
		change(&e)
		key := n.Ops(e)[0].Key
		if again := n.Ops(e)[0].Key; again != key {
			t.Errorf("event %d is at %s, then %s", i, key, again)
		}
		if other, twice := seen[key]; twice {
			t.Errorf("events %d and %d are one", other, i)
		}
		seen[key] = i
		if !regexp.MustCompile(`^/tidegate/v1/n/a/evt_[a-z2-7]{26}$`).MatchString(key) {
			t.Errorf("key %s", key)
		}
	}
}

// FuzzOps: whatever is in an event, what is stored is bounded, in one line a text, and can be
// read.
func FuzzOps(f *testing.F) {
	f.Add("checkout", "errors 3x", int64(1_700_000_000), 1.5, uint8(3))
	f.Add("a\x00b\u202e\xff", strings.Repeat("é\n", 4000), int64(math.MinInt64), math.Inf(1), uint8(200))
	f.Add(strings.Repeat(`"`, 1000), strings.Repeat(`\`, 10_000), int64(0), -math.MaxFloat64, uint8(10))
	n, err := notify.New(notify.Options{Store: memstore.New(), Targets: []notify.Target{{Name: "a", Sender: &receiver{}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, text string, seconds int64, number float64, pieces uint8) {
		e := notify.Event{
			Kind: notify.RolledBack, Time: time.Unix(seconds, 0), Environment: name, Rollout: name, Flag: name,
			Control: name, Treatment: name, Description: text, Owner: text, Deciding: name, Headline: text,
			Relay: name, Actor: text, Reason: text,
		}
		for range pieces {
			v := notify.Number(number)
			e.Evidence = append(e.Evidence, notify.Evidence{
				Guardrail: text, State: name, Summary: text, LogEvidence: v, LogNeeded: v, Estimate: v, Lower: v, Upper: v,
				Treatment: notify.Count{Events: math.MaxUint64, Units: math.MaxUint64},
				Control:   notify.Count{Events: math.MaxUint64, Units: math.MaxUint64},
			})
		}
		ops := n.Ops(e)
		if len(ops) != 1 {
			t.Fatalf("%d ops", len(ops))
		}
		if size := len(ops[0].Value); size > 24<<10 {
			t.Errorf("%d bytes", size)
		}
		var r struct{ Event notify.Event }
		if err := json.Unmarshal(ops[0].Value, &r); err != nil {
			t.Fatalf("%v: %s", err, ops[0].Value)
		}
		for _, s := range []string{r.Event.Rollout, r.Event.Headline, r.Event.Owner} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || len(s) > 1000 {
				t.Errorf("stored: %q", s)
			}
		}
		if len(r.Event.Evidence)+r.Event.Omitted != int(pieces) {
			t.Errorf("%d pieces of evidence and %d omitted, of %d", len(r.Event.Evidence), r.Event.Omitted, pieces)
		}
	})
}

// What decided is told first, and is not what is left out.
func TestDecidingEvidenceFirst(t *testing.T) {
	b := &bed{t: t, store: memstore.New(), log: &syncBuffer{}}
	n := b.notifier(map[string]notify.Sender{"a": &receiver{}}, nil)
	e := event(1)
	e.Deciding = "g11"
	for i := range 12 {
		v := notify.Evidence{Guardrail: "g" + string(rune('0'+i/10)) + string(rune('0'+i%10)), State: "safe"}
		if i == 10 {
			v.State = "breach"
		}
		e.Evidence = append(e.Evidence, v)
	}
	var r struct{ Event notify.Event }
	if err := json.Unmarshal(n.Ops(e)[0].Value, &r); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range r.Event.Evidence {
		got = append(got, v.Guardrail)
	}
	if want := []string{"g11", "g10", "g00", "g01", "g02", "g03", "g04", "g05"}; !slices.Equal(got, want) || r.Event.Omitted != 4 {
		t.Errorf("kept %q and omitted %d", got, r.Event.Omitted)
	}
	if e.Evidence[0].Guardrail != "g00" {
		t.Error("the caller's evidence was changed")
	}
}

func TestDecided(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &rolloutv1.Rollout{
		Key: "checkout-v2", FlagKey: "checkout", Control: "old", Treatment: "new", Owner: "payments",
		Description: "the new checkout", Notify: []string{"oncall"},
	}
	for verdict, kind := range map[rolloutv1.Verdict]notify.Kind{
		rolloutv1.Verdict_VERDICT_HOLD: notify.Held, rolloutv1.Verdict_VERDICT_ADVANCE: notify.Advanced,
		rolloutv1.Verdict_VERDICT_COMPLETE: notify.Completed, rolloutv1.Verdict_VERDICT_ROLLBACK: notify.RolledBack,
	} {
		got := notify.Decided(r, &rolloutv1.Decision{
			Environment: "production", Rollout: "checkout-v2", Number: 7, Time: timestamppb.New(at), Verdict: verdict,
			Deciding: "errors", Headline: "errors are 3x", FromWeight: 500, ToWeight: 0,
		})
		want := notify.Event{
			Kind: kind, Time: at, Environment: "production", Rollout: "checkout-v2", Flag: "checkout", Control: "old", Treatment: "new",
			Description: "the new checkout", Owner: "payments", FromWeight: 500, Decision: 7, Deciding: "errors",
			Headline: "errors are 3x", Notify: []string{"oncall"},
		}
		g, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		w, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if string(g) != string(w) || !slices.Equal(got.Notify, want.Notify) {
			t.Errorf("%v:\n got %s\nwant %s", verdict, g, w)
		}
	}
}

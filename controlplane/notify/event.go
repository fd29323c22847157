package notify

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Kind of an event.
type Kind string

// What people are told of.
const (
	Started    Kind = "started"
	Advanced   Kind = "advanced"
	Held       Kind = "held"
	Completed  Kind = "completed"
	RolledBack Kind = "rolled_back"
	// Tripped: a relay that was cut off serves the control, by its own evidence.
	Tripped Kind = "tripped"
	Paused  Kind = "paused"
	Resumed Kind = "resumed"
	Aborted Kind = "aborted"
	// ChangeProposed, ChangeApplied and ChangeFailed are of a change request, and of no rollout.
	// One fails that was to be applied at a time, and could not be.
	ChangeProposed Kind = "change_proposed"
	ChangeApplied  Kind = "change_applied"
	ChangeFailed   Kind = "change_failed"
	// Audited: entries of an audit trail were sealed. It is of no rollout.
	Audited Kind = "audited"
	// Frozen and Lifted: somebody froze environments, or lifted that. They are of no rollout.
	Frozen Kind = "frozen"
	Lifted Kind = "lifted"
	// Test is what an operator sends to see that a target is reached. No target asks for it.
	Test Kind = "test"
)

var kinds = []Kind{Started, Advanced, Held, Completed, RolledBack, Tripped, Paused, Resumed, Aborted, ChangeProposed, ChangeApplied, ChangeFailed, Audited, Frozen, Lifted}

// Kinds that there are.
func Kinds() []Kind { return slices.Clone(kinds) }

// DefaultKinds are those that a target is told of unless it says otherwise: the beginning
// and the end of a rollout, what went wrong, and what is frozen.
func DefaultKinds() []Kind {
	return []Kind{Started, Completed, RolledBack, Tripped, Aborted, ChangeFailed, Frozen, Lifted}
}

func (k Kind) known() bool { return slices.Contains(kinds, k) }

// Event is something that happened to a rollout, to a change request, to an audit trail, which is
// the environment then, or to environments.
type Event struct {
	// ID is made by Ops, of what identifies the event. No full stop is in it.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	// Time at which it happened.
	Time        time.Time `json:"time"`
	Environment string    `json:"environment"`
	Rollout     string    `json:"rollout"`
	Flag        string    `json:"flag,omitempty"`
	// Control and Treatment are variants' names.
	Control     string `json:"control,omitempty"`
	Treatment   string `json:"treatment,omitempty"`
	Description string `json:"description,omitempty"`
	// Owner is the team or person to ask.
	Owner string `json:"owner,omitempty"`
	// FromWeight and ToWeight of the treatment, of 10,000.
	FromWeight uint32 `json:"fromWeight"`
	ToWeight   uint32 `json:"toWeight"`
	// Decision is its number in the rollout; 0: nobody decided.
	Decision uint64 `json:"decision,omitempty"`
	// Deciding is the guardrail's name, or what is waited for.
	Deciding string `json:"deciding,omitempty"`
	// Headline is what happened, in one sentence.
	Headline string `json:"headline,omitempty"`
	// Evidence as it stood: the deciding guardrail first.
	Evidence []Evidence `json:"evidence,omitempty"`
	// Omitted is how many pieces of evidence were left out.
	Omitted int `json:"omitted,omitempty"`
	// Relay that tripped.
	Relay string `json:"relay,omitempty"`
	// Actor is the person who did it, and Reason why; empty where the decider did.
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
	// ChangeRequest is its number, and Keys what it names.
	ChangeRequest int64    `json:"changeRequest,omitempty"`
	Keys          []string `json:"keys,omitempty"`
	// ApplyAt is when it is applied by itself; nil: when somebody applies it.
	ApplyAt *time.Time `json:"applyAt,omitempty"`
	// Environments that were frozen, or lifted, of at most 63 characters each; none: all.
	Environments []string `json:"environments,omitempty"`
	// Audit are the entries of Audited.
	Audit *Audit `json:"audit,omitempty"`
	// Notify are the names of the targets to tell, of those that want to know; none: all.
	Notify []string `json:"-"`
}

// Audit is what a seal of an audit trail names, or a part of it. The hash is that of the seal:
// whoever keeps it can prove the trail later.
type Audit struct {
	Seal int64  `json:"seal"`
	Hash string `json:"hash"`
	// Through is the revision up to which everything is sealed.
	Through int64 `json:"through"`
	// Part of Parts, from 1.
	Part    int            `json:"part"`
	Parts   int            `json:"parts"`
	Entries []AuditedEntry `json:"entries"`
}

// MaxAudited is how many entries one event has.
const MaxAudited = 48

// AuditedEntry is one change: who did what, when.
type AuditedEntry struct {
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	// Key is KIND/KEY/NUMBER, as in exports.
	Key    string `json:"key"`
	Action string `json:"action"`
	Actor  string `json:"actor"`
	Hash   string `json:"hash"`
}

// Evidence is how a guardrail stood.
type Evidence struct {
	Guardrail string `json:"guardrail"`
	// State is one of "breach", "unproven", "safe", "no data".
	State string `json:"state"`
	// Summary in a sentence, as "1.3x (0.8 to 2.1), need below 3x".
	Summary string `json:"summary,omitempty"`
	// LogEvidence is the natural logarithm of the evidence against the guardrail (an
	// e-value), LogNeeded what shuts the rollout.
	LogEvidence Number `json:"logEvidence"`
	LogNeeded   Number `json:"logNeeded"`
	// Estimate of the treatment against the control in the unit of the guardrail's margin,
	// with the bounds of its interval.
	Estimate Number `json:"estimate"`
	Lower    Number `json:"lower"`
	Upper    Number `json:"upper"`
	// Treatment and Control as counted.
	Treatment Count `json:"treatment"`
	Control   Count `json:"control"`
}

// Count is what was counted of one variant.
type Count struct {
	// Events among the units; 0 where values are compared, not counted.
	Events uint64 `json:"events"`
	// Units that were observed: exposures, or observations.
	Units uint64 `json:"units"`
}

// Number is null in JSON where it is not finite: not known, or without bound.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.Finite() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements json.Unmarshaler; null is NaN.
func (n *Number) UnmarshalJSON(data []byte) error {
	f := math.NaN()
	if string(data) != "null" {
		if err := json.Unmarshal(data, &f); err != nil {
			return err
		}
	}
	*n = Number(f)
	return nil
}

// Finite tells whether there is a number at all.
func (n Number) Finite() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// Decided is the event of a decision on a rollout, without its evidence.
func Decided(r *rolloutv1.Rollout, d *rolloutv1.Decision) Event {
	e := Event{
		Time: d.GetTime().AsTime(), Environment: d.GetEnvironment(), Rollout: d.GetRollout(),
		Flag: r.GetFlagKey(), Control: r.GetControl(), Treatment: r.GetTreatment(),
		Description: r.GetDescription(), Owner: r.GetOwner(), Notify: r.GetNotify(),
		FromWeight: d.GetFromWeight(), ToWeight: d.GetToWeight(),
		Decision: d.GetNumber(), Deciding: d.GetDeciding(), Headline: d.GetHeadline(),
	}
	switch d.GetVerdict() {
	case rolloutv1.Verdict_VERDICT_ADVANCE:
		e.Kind = Advanced
	case rolloutv1.Verdict_VERDICT_COMPLETE:
		e.Kind = Completed
	case rolloutv1.Verdict_VERDICT_ROLLBACK, rolloutv1.Verdict_VERDICT_GIVE_UP:
		e.Kind = RolledBack
	default:
		e.Kind = Held
	}
	return e
}

// Changed is the event of a person's change of a rollout; before is nil where it started.
// False: it is nothing that people are told of.
func Changed(environment string, before, after *rolloutv1.Rollout, entry *controlv1.AuditEntry) (Event, bool) {
	kind, ok := map[controlv1.Action]Kind{
		controlv1.Action_ACTION_STARTED:   Started,
		controlv1.Action_ACTION_PAUSED:    Paused,
		controlv1.Action_ACTION_RESUMED:   Resumed,
		controlv1.Action_ACTION_ADVANCED:  Advanced,
		controlv1.Action_ACTION_COMPLETED: Completed,
		controlv1.Action_ACTION_ABORTED:   Aborted,
	}[entry.GetAction()]
	return Event{
		Kind: kind, Time: entry.GetTime().AsTime(), Environment: environment, Rollout: after.GetKey(),
		Flag: after.GetFlagKey(), Control: after.GetControl(), Treatment: after.GetTreatment(),
		Description: after.GetDescription(), Owner: after.GetOwner(), Notify: after.GetNotify(),
		FromWeight: before.GetStatus().GetWeight(), ToWeight: after.GetStatus().GetWeight(),
		Actor: entry.GetActor(), Reason: entry.GetReason(),
	}, ok
}

// Bounds of what is told, in bytes.
const (
	maxHeadline = 1000
	maxText     = 300
	maxName     = 128
	maxEvidence = 8 // pieces
)

// bounded is the event as it is stored, with its ID.
func (e Event) bounded() Event {
	if y := e.Time.Year(); y < 1 || y > 9999 { // JSON has no others
		e.Time = time.Unix(0, 0)
	}
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	e.ID = e.identity()
	for _, name := range []*string{&e.Environment, &e.Rollout, &e.Flag, &e.Control, &e.Treatment, &e.Deciding, &e.Relay} {
		*name = clean(*name, maxName)
	}
	for _, text := range []*string{&e.Description, &e.Owner, &e.Actor, &e.Reason} {
		*text = clean(*text, maxText)
	}
	e.Headline = clean(e.Headline, maxHeadline)
	e.Audit = e.Audit.bounded()

	deciding := func(v Evidence) int {
		switch {
		case v.Guardrail == e.Deciding:
			return 0
		case v.State == "breach":
			return 1
		}
		return 2
	}
	e.Evidence = slices.Clone(e.Evidence)
	slices.SortStableFunc(e.Evidence, func(a, b Evidence) int { return deciding(a) - deciding(b) })
	if over := len(e.Evidence) - maxEvidence; over > 0 {
		e.Evidence, e.Omitted = e.Evidence[:maxEvidence], e.Omitted+over
	}
	for i := range e.Evidence {
		v := &e.Evidence[i]
		v.Guardrail, v.State, v.Summary = clean(v.Guardrail, maxName), clean(v.State, maxName), clean(v.Summary, maxText)
	}
	return e
}

// bounded is the same with texts that are.
func (a *Audit) bounded() *Audit {
	if a == nil {
		return nil
	}
	made := *a
	made.Entries = slices.Clone(a.Entries[:min(len(a.Entries), MaxAudited)])
	for i := range made.Entries {
		entry := &made.Entries[i]
		entry.Actor = clean(entry.Actor, maxName)
		if y := entry.Time.Year(); y < 1 || y > 9999 {
			entry.Time = time.Unix(0, 0)
		}
		entry.Time = entry.Time.UTC()
	}
	return &made
}

// identity is the same for the same event, and for no other one: a rollout that is made anew
// under an old key counts its decisions from 1 again, but not at the same time.
func (e *Event) identity() string {
	h := sha256.New()
	parts := []string{
		string(e.Kind), e.Environment, e.Rollout, strconv.FormatUint(e.Decision, 10),
		e.Time.Format(time.RFC3339Nano), e.Relay, e.Actor,
	}
	if e.ChangeRequest != 0 {
		parts = append(parts, strconv.FormatInt(e.ChangeRequest, 10))
	}
	if a := e.Audit; a != nil {
		parts = append(parts, a.Hash, strconv.Itoa(a.Part))
	}
	for _, part := range parts {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return "evt_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}

// clean is a text in one line, without what would change how the rest of it is read, and not
// longer than so many bytes.
func clean(s string, limit int) string {
	if len(s) > 8*limit { // what is far too long is not worth the work
		s = s[:8*limit]
	}
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))), " ")
	if len(s) <= limit {
		return s
	}
	const ellipsis = "…"
	cut := limit - len(ellipsis)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + ellipsis
}

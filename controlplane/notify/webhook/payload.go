package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane/notify"
)

// payloadVersion is raised when a field changes its meaning or goes; new fields do not raise it.
const payloadVersion = 1

// Payload is what a target of kind 'webhook' gets, as JSON. Fields are added in time: readers
// ignore those that they do not know. In the request's headers:
//
//	webhook-id         the event's ID, the same in each attempt: what was taken already is a
//	                   repetition
//	webhook-timestamp  of the attempt, seconds since 1970
//	webhook-signature  'v1,' and the base64 of HMAC-SHA256(secret, ID.TIMESTAMP.BODY); several,
//	                   separated by spaces, while the secret is being replaced
//
// Any status of 200 to 299 says that it was taken.
type Payload struct {
	// Type is 'rollout.' and the kind of the event: started, advanced, held, completed,
	// rolled_back, tripped, paused, resumed, aborted. Or it is 'change_request.proposed', '.applied'
	// or '.failed', with the change request in the data and nothing of a rollout. Or it is
	// 'audit.sealed', of an audit trail, with nothing in the data but the environment and audit; or 'freeze.frozen' or
	// 'freeze.lifted', with environments, actor, reason and headline; or 'test': an operator tries whether
	// this arrives, and of the data there are the headline and the actor alone.
	Type    string `json:"type"`
	Version int    `json:"version"`
	ID      string `json:"id"`
	// Timestamp at which it happened.
	Timestamp time.Time `json:"timestamp"`
	Data      Data      `json:"data"`
}

// Data is what happened.
type Data struct {
	Environment string `json:"environment"`
	Rollout     string `json:"rollout"`
	Flag        string `json:"flag,omitempty"`
	// Control and Treatment are variants' names.
	Control     string `json:"control,omitempty"`
	Treatment   string `json:"treatment,omitempty"`
	Description string `json:"description,omitempty"`
	// Owner is the team or person to ask.
	Owner string `json:"owner,omitempty"`
	// Headline is what happened, in one sentence.
	Headline string `json:"headline,omitempty"`
	// Weight of the treatment before and after, of 10,000.
	Weight Weight `json:"weight"`
	// Decision is its number in the rollout; 0: a person's doing.
	Decision uint64 `json:"decision"`
	// Deciding is the guardrail's name, or what is waited for.
	Deciding string `json:"deciding,omitempty"`
	// Guardrails as they stood, the deciding one first: at most 8.
	Guardrails []Guardrail `json:"guardrails"`
	// GuardrailsOmitted is how many more there are.
	GuardrailsOmitted int `json:"guardrails_omitted"`
	// Relay that tripped.
	Relay string `json:"relay,omitempty"`
	// Actor is the person who did it, and Reason why.
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
	// URL of the rollout in the dashboard.
	URL string `json:"url,omitempty"`
	// ChangeRequest that it is of.
	ChangeRequest *ChangeRequest `json:"change_request,omitempty"`
	// Environments that were frozen, or lifted; none: all.
	Environments []string `json:"environments,omitempty"`
	// Audit are entries of an audit trail.
	Audit *notify.Audit `json:"audit,omitempty"`
}

// ChangeRequest is one by its number; actor and reason are those of who proposed it.
type ChangeRequest struct {
	Number int64 `json:"number"`
	// Keys of the flags, segments and rollouts that it names.
	Keys []string `json:"keys"`
	// ApplyAt is when it is applied by itself.
	ApplyAt *time.Time `json:"apply_at,omitempty"`
}

// Weight of 10,000.
type Weight struct {
	From uint32 `json:"from"`
	To   uint32 `json:"to"`
}

// Guardrail is how one stood. Numbers are null where they are not known, or without bound.
type Guardrail struct {
	Name string `json:"name"`
	// State is one of 'breach', 'unproven', 'safe', 'no data'.
	State   string `json:"state"`
	Summary string `json:"summary,omitempty"`
	// LogEvidence is the natural logarithm of the evidence against it, LogNeeded what shuts
	// the rollout.
	LogEvidence notify.Number `json:"log_evidence"`
	LogNeeded   notify.Number `json:"log_needed"`
	// Estimate of the treatment against the control, in the unit of the margin, with the
	// bounds of its interval.
	Estimate  notify.Number `json:"estimate"`
	Lower     notify.Number `json:"lower"`
	Upper     notify.Number `json:"upper"`
	Treatment Counted       `json:"treatment"`
	Control   Counted       `json:"control"`
}

// Counted is what was counted of one variant.
type Counted struct {
	Events uint64 `json:"events"`
	// Units that were observed: exposures, or observations.
	Units uint64 `json:"units"`
}

func payloadOf(e notify.Event, link string) Payload {
	p := Payload{
		Type: typeOf(e.Kind), Version: payloadVersion, ID: e.ID, Timestamp: e.Time.UTC(),
		Data: Data{
			Environment: e.Environment, Rollout: e.Rollout, Flag: e.Flag, Control: e.Control, Treatment: e.Treatment,
			Description: e.Description, Owner: e.Owner, Headline: e.Headline,
			Weight: Weight{From: e.FromWeight, To: e.ToWeight}, Decision: e.Decision, Deciding: e.Deciding,
			Guardrails: make([]Guardrail, 0, len(e.Evidence)), GuardrailsOmitted: e.Omitted,
			Relay: e.Relay, Actor: e.Actor, Reason: e.Reason, URL: link,
			Environments: e.Environments, Audit: e.Audit,
		},
	}
	if e.ChangeRequest != 0 {
		p.Data.ChangeRequest = &ChangeRequest{Number: e.ChangeRequest, Keys: e.Keys, ApplyAt: e.ApplyAt}
	}
	for _, v := range e.Evidence {
		p.Data.Guardrails = append(p.Data.Guardrails, Guardrail{
			Name: v.Guardrail, State: v.State, Summary: v.Summary,
			LogEvidence: v.LogEvidence, LogNeeded: v.LogNeeded, Estimate: v.Estimate, Lower: v.Lower, Upper: v.Upper,
			Treatment: Counted(v.Treatment), Control: Counted(v.Control),
		})
	}
	return p
}

func typeOf(k notify.Kind) string {
	switch k {
	case notify.Test:
		return string(k)
	case notify.Audited:
		return "audit.sealed"
	case notify.ChangeProposed, notify.ChangeApplied, notify.ChangeFailed:
		return "change_request." + strings.TrimPrefix(string(k), "change_")
	case notify.Frozen, notify.Lifted:
		return "freeze." + string(k)
	}
	return "rollout." + string(k)
}

// marshal encodes without escapes for HTML, which this is not.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

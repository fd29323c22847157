package webhook

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/internal/rollout"
)

// Bounds of texts in characters as Slack counts them, escapes included. Slack takes 3,000 a
// section and 2,000 a field (https://docs.slack.dev/reference/block-kit/blocks/section-block).
const (
	maxTitle, maxLong, maxLine, maxField = 200, 2400, 330, 500
)

// slackBody is the form of Slack's incoming webhooks.
type slackBody struct {
	// Text is all that Mattermost reads, and what Slack shows where there is no room for
	// blocks: so it is complete.
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks"`
	// False: links get no previews.
	UnfurlLinks bool `json:"unfurl_links"`
	UnfurlMedia bool `json:"unfurl_media"`
}

type slackBlock struct {
	Type     string        `json:"type"`
	Text     *slackObject  `json:"text,omitempty"`
	Fields   []slackObject `json:"fields,omitempty"`
	Elements []slackObject `json:"elements,omitempty"`
}

type slackObject struct {
	Type string `json:"type"`
	Text string `json:"text"`
	// Verbatim: names and mentions in plain text stay plain text.
	Verbatim bool `json:"verbatim"`
}

func mrkdwn(text string) slackObject { return slackObject{Type: "mrkdwn", Text: text, Verbatim: true} }

// slackMessage says what happened, by which evidence, whom to ask and where to look.
func slackMessage(e notify.Event, link string) ([]byte, error) {
	title := titleOf(e)
	long := escape(e.Headline, maxLong)
	fields := fieldsOf(e)
	evidence := evidenceOf(e)
	foot := e.Time.UTC().Format(time.DateTime) + " UTC"
	if e.Decision > 0 {
		foot += " · decision " + strconv.FormatUint(e.Decision, 10)
	}

	plain := []string{title}
	headline := mrkdwn("*" + title + "*")
	if long != "" {
		plain = append(plain, long)
		headline.Text += "\n" + long
	}
	for _, f := range fields {
		plain = append(plain, f.name+": "+f.value)
	}
	plain = append(plain, evidence...)
	blocks := []slackBlock{{Type: "section", Text: &headline}, {Type: "section"}}
	for _, f := range fields {
		blocks[1].Fields = append(blocks[1].Fields, mrkdwn("*"+f.name+"*\n"+f.value))
	}
	if len(evidence) > 0 {
		text := mrkdwn(strings.Join(evidence, "\n"))
		blocks = append(blocks, slackBlock{Type: "section", Text: &text})
	}
	elements := []slackObject{mrkdwn(foot)}
	if link != "" {
		look := "<" + escape(link, math.MaxInt) + "|Open the rollout>"
		if e.Rollout == "" {
			look = "<" + escape(link, math.MaxInt) + "|Open tidegate>"
		}
		plain = append(plain, look)
		elements = append(elements, mrkdwn(look))
	}
	blocks = append(blocks, slackBlock{Type: "context", Elements: elements})
	return marshal(slackBody{Text: strings.Join(plain, "\n"), Blocks: blocks})
}

func titleOf(e notify.Event) string {
	which := escape(e.Rollout, maxTitle) + " in " + escape(e.Environment, maxTitle)
	if e.ChangeRequest != 0 {
		which = "change request #" + strconv.FormatInt(e.ChangeRequest, 10) + " in " + escape(e.Environment, maxTitle)
	}
	switch e.Kind {
	case notify.Started:
		return "🚀 Started: " + which
	case notify.Advanced:
		return "⬆️ Widened to " + rollout.Percent(e.ToWeight) + ": " + which
	case notify.Held:
		return "⏳ Held at " + rollout.Percent(e.ToWeight) + ": " + which
	case notify.Completed:
		return "✅ Complete: " + which
	case notify.RolledBack:
		return "🚨 Rolled back: " + which
	case notify.Tripped:
		return "🚨 A relay that is cut off serves the control: " + which
	case notify.Paused:
		return "⏸️ Paused: " + which
	case notify.Resumed:
		return "▶️ Resumed: " + which
	case notify.Aborted:
		return "🛑 Aborted: " + which
	case notify.ChangeProposed:
		return "📝 Proposed: " + which
	case notify.ChangeApplied:
		return "✅ Applied: " + which
	case notify.ChangeFailed:
		return "🚨 Not applied: " + which
	case notify.Audited:
		return "📜 Audited in " + escape(e.Environment, maxTitle)
	case notify.Frozen:
		return "🧊 Frozen: " + environmentsOf(e)
	case notify.Lifted:
		return "💧 No longer frozen: " + environmentsOf(e)
	case notify.Test:
		return "🔔 Test of notifications"
	}
	return escape(string(e.Kind), maxTitle) + ": " + which
}

// environmentsOf names those that were frozen, or lifted.
func environmentsOf(e notify.Event) string {
	if len(e.Environments) == 0 {
		return "all environments"
	}
	return escape(strings.Join(e.Environments, ", "), maxTitle)
}

type field struct{ name, value string }

// fieldsOf are at most nine; Slack takes ten.
func fieldsOf(e notify.Event) []field {
	if e.Kind == notify.Test {
		return []field{{"By", cmp.Or(escape(e.Actor, maxField), "nobody says who")}}
	}
	switch e.Kind {
	case notify.Audited:
		return auditFields(e.Audit)
	case notify.Frozen, notify.Lifted:
		return []field{{"By", cmp.Or(escape(e.Actor, maxField), "(unknown)")}, {"Reason", cmp.Or(escape(e.Reason, maxField), "none was given")}}
	}
	if e.ChangeRequest != 0 {
		return requestFields(e)
	}
	owner := escape(e.Owner, maxField)
	if owner == "" {
		owner = "nobody is named as the owner"
	}
	fields := []field{{"Ask", owner}}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, field{name, escape(value, maxField)})
		}
	}
	weight := rollout.Percent(e.ToWeight)
	if e.FromWeight != e.ToWeight {
		weight = rollout.Percent(e.FromWeight) + " → " + weight
	}
	if e.Treatment != "" {
		weight += " of subjects get " + e.Treatment
		if e.Control != "" {
			weight += ", the others " + e.Control
		}
	}
	add("Treatment", weight)
	add("Flag", e.Flag)
	add("What it is", e.Description)
	add("Decided by", e.Deciding)
	add("Relay", e.Relay)
	add("By", e.Actor)
	add("Reason", e.Reason)
	return fields
}

// requestFields say whose change request it is, and of what.
func requestFields(e notify.Event) []field {
	fields := []field{{"Changes", escape(strings.Join(e.Keys, ", "), maxField)}}
	for _, f := range []field{{"Proposed by", e.Actor}, {"Reason", e.Reason}} {
		if f.value != "" {
			fields = append(fields, field{f.name, escape(f.value, maxField)})
		}
	}
	if e.ApplyAt != nil {
		fields = append(fields, field{"To be applied at", e.ApplyAt.UTC().Format(time.DateTime) + " UTC"})
	}
	return fields
}

// auditFields name the newest changes.
func auditFields(a *notify.Audit) []field {
	if a == nil {
		return nil
	}
	const shown = 8
	entries := a.Entries[max(0, len(a.Entries)-shown):]
	fields := []field{{"Changes", strconv.Itoa(len(a.Entries))}}
	for _, entry := range entries {
		fields = append(fields, field{escape(entry.Action+" "+path.Dir(entry.Key), maxField), escape(cmp.Or(entry.Actor, "(unknown)"), maxField)})
	}
	return fields
}

// evidenceOf has a line for each guardrail.
func evidenceOf(e notify.Event) []string {
	lines := make([]string, 0, len(e.Evidence)+1)
	for _, v := range e.Evidence {
		line := v.Guardrail + ": " + v.State
		if v.Summary != "" {
			line += ", " + v.Summary
		}
		if v.LogEvidence.Finite() && v.LogNeeded.Finite() && v.LogNeeded > 0 {
			line += fmt.Sprintf("; evidence %s of %s", times(v.LogEvidence), times(v.LogNeeded))
		}
		if v.Treatment.Units > 0 || v.Control.Units > 0 {
			line += fmt.Sprintf("; %s against %s", count(v.Treatment), count(v.Control))
		}
		lines = append(lines, "• "+escape(line, maxLine))
	}
	if e.Omitted > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.Omitted))
	}
	return lines
}

// times is evidence as a factor, from its logarithm.
func times(log notify.Number) string {
	const most = 1_000_000
	switch f := math.Exp(float64(log)); {
	case f > most:
		return ">1000000x"
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 0, 64) + "x"
	default:
		return strconv.FormatFloat(f, 'f', 1, 64) + "x"
	}
}

func count(c notify.Count) string {
	if c.Events == 0 {
		return strconv.FormatUint(c.Units, 10)
	}
	return strconv.FormatUint(c.Events, 10) + " in " + strconv.FormatUint(c.Units, 10)
}

// group are the words that mention many, in Mattermost, where an @ is before them.
var group = []string{"channel", "all", "here", "everyone", "group"}

// apart is a space without width.
const apart = "\u200b"

// escape is a text that says nothing but itself: no links, no mentions, no code. Slack has
// escapes for three characters (https://docs.slack.dev/messaging/formatting-message-text);
// what else would mean something is kept apart. It is cut to so many characters.
func escape(s string, limit int) string {
	var b strings.Builder
	length := 0
	for i, r := range s {
		text := escapeRune(r, s[:i], s[i+1:])
		if length += utf8.RuneCountInString(text); length > limit-1 {
			b.WriteString("…")
			break
		}
		b.WriteString(text)
	}
	return b.String()
}

// escapeRune escapes a character with what is before and after it; what is after it begins
// with its other bytes, if it has several.
func escapeRune(r rune, before, after string) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '`':
		return "'"
	case '\n', '\r', '\t':
		return " "
	case '*', '~':
		return apart + string(r) + apart
	case '(':
		if strings.HasSuffix(before, "]") {
			return apart + "("
		}
	case '@':
		for _, word := range group {
			if len(after) >= len(word) && strings.EqualFold(after[:len(word)], word) {
				return "@" + apart
			}
		}
	}
	return string(r)
}

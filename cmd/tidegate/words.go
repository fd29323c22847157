package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// longestValue is how much of a value a line for people shows, in characters.
const longestValue = 120

// writeChanges writes a line for each difference: + added, - removed, ~ changed.
func writeChanges(out io.Writer, p paint, indent string, changes []*controlv1.FieldChange) {
	for _, c := range changes {
		path, before, after := visible(c.GetPath()), shortened(c.GetBefore()), shortened(c.GetAfter())
		switch {
		case before == "" && after == "":
			fmt.Fprintf(out, "%s%s\n", indent, p.dim(path))
		case before == "":
			fmt.Fprintf(out, "%s%s %s: %s\n", indent, p.green("+"), path, p.green(after))
		case after == "":
			fmt.Fprintf(out, "%s%s %s: %s\n", indent, p.red("-"), path, p.red(before))
		default:
			fmt.Fprintf(out, "%s%s %s: %s -> %s\n", indent, p.yellow("~"), path, p.red(before), p.green(after))
		}
	}
}

func shortened(value string) string {
	value = singleLine(value)
	if utf8.RuneCountInString(value) <= longestValue {
		return value
	}
	return string([]rune(value)[:longestValue]) + "..."
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func kindWord(k controlv1.ResourceKind) string {
	switch k {
	case controlv1.ResourceKind_RESOURCE_KIND_SEGMENT:
		return "segment"
	case controlv1.ResourceKind_RESOURCE_KIND_KEY:
		return "key"
	case controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT:
		return "rollout"
	case controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT:
		return "environment"
	case controlv1.ResourceKind_RESOURCE_KIND_FREEZE:
		return "freeze"
	case controlv1.ResourceKind_RESOURCE_KIND_IDENTITY:
		return "identity"
	case controlv1.ResourceKind_RESOURCE_KIND_EPOCH:
		return "epoch"
	case controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST:
		return "change request"
	}
	return "flag"
}

func actionWord(a controlv1.Action) string {
	if a == controlv1.Action_ACTION_UNSPECIFIED {
		return "unchanged"
	}
	return enumWord(a.String(), "ACTION_")
}

func revisionText(revision int64) string { return "revision " + strconv.FormatInt(revision, 10) }

// timeText is in UTC, the same for everyone who looks at an incident.
func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05Z")
}

func actorText(actor string) string {
	if actor == "" {
		return "(unknown)"
	}
	return singleLine(actor)
}

func typeWord(t flagv1.ValueType) string {
	return enumWord(t.String(), "VALUE_TYPE_")
}

// enumWord is an enum's value as people say it: 'rolled back', not ACTION_ROLLED_BACK.
func enumWord(value, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(value, prefix), "_", " "))
}

// outcomeText is what an outcome serves, such as 'on 1% off 99%'.
func outcomeText(o *flagv1.Outcome) string {
	split := o.GetSplit()
	if split == nil {
		return o.GetVariant()
	}
	var total uint64
	for _, v := range split.GetVariants() {
		total += uint64(v.GetWeight())
	}
	shares := make([]string, 0, len(split.GetVariants()))
	for _, v := range split.GetVariants() {
		percent := 100 * float64(v.GetWeight()) / float64(max(total, 1))
		shares = append(shares, v.GetVariant()+" "+strconv.FormatFloat(percent, 'g', 5, 64)+"%")
	}
	return strings.Join(shares, " ")
}

// servesText is what a flag serves when no rule matches, and how many rules there are.
func servesText(f *flagv1.Flag) string {
	if !f.GetEnabled() {
		if f.GetOffVariant() == "" {
			return "(the caller's default)"
		}
		return f.GetOffVariant()
	}
	text := outcomeText(f.GetDefaultOutcome())
	if text == "" {
		text = "(the caller's default)"
	}
	switch n := len(f.GetRules()); n {
	case 0:
		return text
	case 1:
		return text + ", 1 rule"
	default:
		return text + ", " + strconv.Itoa(n) + " rules"
	}
}

// valueText is a value as JSON on one line.
func valueText(m proto.Message) string {
	var b strings.Builder
	if err := writeJSONLine(&b, m); err != nil {
		return "?"
	}
	return strings.TrimSpace(b.String())
}

// lastUsedText is how long ago something was used, which is known to the minute, some minutes late.
func lastUsedText(at *timestamppb.Timestamp, now time.Time) string {
	if at == nil {
		return "never"
	}
	switch d := now.Sub(at.AsTime()); {
	case d < 2*time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return counted(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return counted(int(d/time.Hour), "hour") + " ago"
	default:
		return counted(int(d/(24*time.Hour)), "day") + " ago"
	}
}

// ageText rounds to what matters.
func ageText(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "just now"
	case d < time.Second:
		return d.Round(time.Millisecond).String() + " ago"
	}
	return d.Round(time.Second).String() + " ago"
}

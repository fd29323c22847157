package flagd

import (
	"math"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/internal/jsondoc"
)

// attribute is what a clause or a split looks at, as an operand.
type attribute struct {
	kind attributeKind
	// operand is the JSON to read it with.
	operand string
	// flagKey is, of fromFlagKey, the value.
	flagKey string
}

type attributeKind int

const (
	// fromContext: whatever the caller sends, of any type.
	fromContext attributeKind = iota
	// asText: a string or nothing.
	asText
	// fromFlagKey: known already.
	fromFlagKey
	// ofClock: a number, or nothing where the time is not known.
	ofClock
)

const (
	targetingKey = `{"var":"targetingKey"}`
	timestamp    = `{"var":"$flagd.timestamp"}`
	// The time of day is what is left of whole days; the week begins on Monday, and 1970
	// on a Thursday.
	timeOfDay = `{"/":[{"%":[` + timestamp + `,86400]},3600]}`
	weekday   = `{"+":[{"/":[{"-":[{"%":[{"+":[` + timestamp + `,259200]},604800]},{"%":[` + timestamp + `,86400]}]},86400]},1]}`
	// element is what 'some' looks at.
	element = `{"var":""}`
)

// attribute reads the path of an attribute; empty: the targeting key.
func (w *writer) attribute(path string) attribute {
	switch path {
	case "", "targetingKey":
		return attribute{kind: asText, operand: targetingKey}
	case "$tidegate.region":
		return attribute{kind: asText, operand: `{"var":"$tidegate.region"}`}
	case "$flagd.flagKey":
		key := w.flag.GetKey() // of a prerequisite, where one is looked at
		return attribute{kind: fromFlagKey, operand: string(jsondoc.AppendString(nil, key)), flagKey: key}
	case "$flagd.timestamp":
		return attribute{kind: ofClock, operand: timestamp}
	case "$tidegate.timeOfDay":
		return attribute{kind: ofClock, operand: timeOfDay}
	case "$tidegate.weekday":
		return attribute{kind: ofClock, operand: weekday}
	}
	if _, members, ok := strings.Cut(path, "."); ok {
		for _, member := range strings.Split(members, ".") {
			if leadsIntoLists(member) {
				w.omit("the attribute %q has a number in its path, which leads into lists in JsonLogic", path)
			}
		}
	}
	return attribute{kind: fromContext, operand: string(jsondoc.AppendString([]byte(`{"var":`), path)) + "}"}
}

// leadsIntoLists tells whether flagd's 'var' takes the element of a path for an index.
func leadsIntoLists(member string) bool {
	f, err := strconv.ParseFloat(member, 64)
	return err == nil && f > -1 && !math.IsInf(f, 0)
}

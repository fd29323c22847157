package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/diegoholiveira/jsonlogic/v3"
	"github.com/twmb/murmur3"
	"golang.org/x/mod/semver"
)

// flagd evaluates targeting with github.com/diegoholiveira/jsonlogic and operators of its
// own. These mean the same and do less: they log nothing and read $flagd
// without encoding it first, so what is measured is the library's speed and not theirs.
func init() {
	jsonlogic.AddOperator("starts_with", func(values, _ any) any { return compareText(values, strings.HasPrefix) })
	jsonlogic.AddOperator("ends_with", func(values, _ any) any { return compareText(values, strings.HasSuffix) })
	jsonlogic.AddOperator("sem_ver", func(values, _ any) any { return compareVersions(values) })
	jsonlogic.AddOperator("fractional", fractional)
}

func compareText(values any, compare func(s, part string) bool) any {
	operands, _ := values.([]any)
	if len(operands) != 2 {
		return nil
	}
	s, ok := operands[0].(string)
	part, isText := operands[1].(string)
	if !ok || !isText {
		return nil
	}
	return compare(s, part)
}

func compareVersions(values any) any {
	operands, _ := values.([]any)
	if len(operands) != 3 {
		return nil
	}
	a, b := version(operands[0]), version(operands[2])
	if !semver.IsValid(a) || !semver.IsValid(b) {
		return nil
	}
	switch order := semver.Compare(a, b); operands[1] {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "^":
		return semver.Major(a) == semver.Major(b)
	case "~":
		return semver.MajorMinor(a) == semver.MajorMinor(b)
	}
	return nil
}

func version(v any) string {
	text, ok := v.(string)
	if !ok {
		text = fmt.Sprint(v)
	}
	return "v" + strings.TrimPrefix(text, "v")
}

// fractional is bucketing version 2.
func fractional(values, data any) any {
	shares, _ := values.([]any)
	context, _ := data.(map[string]any)
	if len(shares) == 0 {
		return nil
	}
	subject, ok := shares[0].(string)
	if ok || shares[0] == nil {
		shares = shares[1:]
	}
	if !ok {
		own, _ := context["$flagd"].(map[string]any)
		flagKey, _ := own["flagKey"].(string)
		targetingKey, _ := context["targetingKey"].(string)
		if targetingKey == "" {
			return nil
		}
		subject = flagKey + targetingKey
	}
	total := uint64(0)
	for _, s := range shares {
		weight, ok := weightOf(s)
		if !ok {
			return nil
		}
		total += weight
	}
	if total > math.MaxInt32 {
		return nil
	}
	bucket, end := uint64(murmur3.StringSum32(subject))*total>>32, uint64(0)
	for _, s := range shares {
		weight, _ := weightOf(s)
		if end += weight; bucket < end {
			return s.([]any)[0]
		}
	}
	return nil
}

func weightOf(share any) (uint64, bool) {
	pair, _ := share.([]any)
	switch len(pair) {
	case 0:
		return 0, false
	case 1:
		return 1, true
	}
	w, ok := pair[1].(float64)
	if !ok || w != math.Trunc(w) || w > math.MaxInt32 {
		return 0, false
	}
	return uint64(max(0, w)), true
}

// newJSONLogic evaluates the expression as the library does at its best: rule and
// context were decoded before.
func newJSONLogic(e expression) (contender, error) {
	var rule any
	if err := json.Unmarshal([]byte(e.json), &rule); err != nil {
		return contender{}, err
	}
	data := flagdContext()
	return contender{decide: func() bool {
		result, err := jsonlogic.ApplyInterface(rule, data)
		return err == nil && result == "on"
	}}, nil
}

// newFlagd evaluates the expression as flagd does at each request: the context is
// encoded, and the library decodes it and the rule.
func newFlagd(e expression) (contender, error) {
	data, rule := flagdContext(), []byte(e.json)
	return contender{decide: func() bool {
		encoded, err := json.Marshal(data)
		if err != nil {
			return false
		}
		var result bytes.Buffer
		if err := jsonlogic.Apply(bytes.NewReader(rule), bytes.NewReader(encoded), &result); err != nil {
			return false
		}
		return strings.Trim(result.String(), "\"\n") == "on"
	}}, nil
}

// flagdContext is the context with what flagd adds to it.
func flagdContext() map[string]any {
	data := expressionAttributes()
	data["targetingKey"] = targetingKey
	data["$flagd"] = map[string]any{"flagKey": expressionFlag, "timestamp": float64(now)}
	return data
}

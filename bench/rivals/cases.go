package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// The cases are described once and built for each engine from the description. A case
// decides between two boolean variants, "on" and "off".
type definition struct {
	name  string
	flag  flagSpec
	other []flagSpec    // prerequisites
	sets  []segmentSpec // segments
	key   string        // the context's targeting key; empty: targetingKey
	// on is what all engines must answer; splits hash differently, and so are arranged
	// for all to give the same.
	on bool
	// more is how many flags there are beside the case's own.
	more int
}

type flagSpec struct {
	key          string
	disabled     bool
	rules        []ruleSpec
	prerequisite string
	serves       share // when no rule matches
}

// ruleSpec has one clause: email or another attribute, or membership of segments.
type ruleSpec struct {
	attribute, operator string
	values              []string
	segments            []string
	serves              share
}

// share is the part of subjects that get "on", of 100,000; fixed is a variant without a
// split.
type share struct {
	on    int
	fixed bool
}

type segmentSpec struct {
	key  string
	keys []string
}

var (
	on  = share{on: 100_000, fixed: true}
	off = share{on: 0, fixed: true}
)

const targetingKey = "user-1234567"

// attributes of the context, the same in every case.
var attributes = map[string]string{
	"email": "someone@mycompany.com", "country": "Canada", "plan": "pro", "device": "android", "language": "fr",
}

// flags are all flags of the case, and those beside them, which serve on.
func (d definition) flags() []flagSpec {
	flags := append(slices.Clone(d.other), d.flag)
	for i := range d.more {
		flags = append(flags, flagSpec{key: "another-" + strconv.Itoa(i), serves: on})
	}
	return flags
}

// contextKey is the targeting key of the case.
func (d definition) contextKey() string { return cmp.Or(d.key, targetingKey) }

// definitions are all cases, with so many other flags beside each.
func definitions(more int) []definition {
	emailRule := func(s share) ruleSpec {
		return ruleSpec{attribute: "email", operator: "endsWith", values: []string{"@mycompany.com"}, serves: s}
	}
	tenRules := flagSpec{key: "flag", serves: off}
	for i := range 10 {
		tenRules.rules = append(tenRules.rules, ruleSpec{
			attribute: []string{"email", "country", "plan", "device", "language"}[i%5], operator: "in",
			values: []string{fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)}, serves: on,
		})
	}
	keys := func(from, to int) []string {
		all := make([]string, 0, to-from)
		for i := from; i < to; i++ {
			all = append(all, "user-"+strconv.Itoa(1_134_568+i))
		}
		return all
	}
	// Only short keys fit into one of this project's segments in such a number.
	shortKeys := make([]string, 100_000)
	for i := range shortKeys {
		const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		shortKeys[i] = string([]byte{digits[i/62/62], digits[i/62%62], digits[i%62]})
	}
	inSegments := func(names ...string) flagSpec {
		return flagSpec{key: "flag", rules: []ruleSpec{{segments: names, serves: on}}, serves: off}
	}
	all := []definition{
		{name: "off", flag: flagSpec{key: "flag", disabled: true, serves: on}, on: false},
		{name: "static", flag: flagSpec{key: "flag", serves: on}, on: true},
		{name: "percentage rollout", flag: flagSpec{key: "flag", serves: share{on: 99_999}}, on: true},
		{name: "one rule", flag: flagSpec{key: "flag", rules: []ruleSpec{emailRule(on)}, serves: off}, on: true},
		{name: "rule and split", flag: flagSpec{key: "flag", rules: []ruleSpec{emailRule(share{on: 99_999})}, serves: off}, on: true},
		{name: "ten rules", flag: tenRules, on: false},
		{name: "segment of 10,000 keys", flag: inSegments("s1"), sets: []segmentSpec{{"s1", keys(90_000, 100_000)}}, on: true},
		{
			name: "segment of 100,000 keys", flag: inSegments("s1"), sets: []segmentSpec{{"s1", shortKeys}},
			key: shortKeys[99_999], on: true,
		},
		{
			name: "4 segments of 25,000 keys", flag: inSegments("s1", "s2", "s3", "s4"), on: true,
			sets: []segmentSpec{{"s1", keys(0, 25_000)}, {"s2", keys(25_000, 50_000)}, {"s3", keys(50_000, 75_000)}, {"s4", keys(75_000, 100_000)}},
		},
		{
			name: "prerequisite", flag: flagSpec{key: "flag", prerequisite: "parent", serves: on},
			other: []flagSpec{{key: "parent", serves: on}}, on: true,
		},
	}
	for i := range all {
		all[i].more = more
	}
	return all
}

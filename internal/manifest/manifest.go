// Package manifest is the YAML form of flags and segments: what people keep in files.
//
// The form maps one to one to the messages of tidegate.flag.v1. [Parse] reads it and
// reports everything that is wrong at once, each with file, line, column and field;
// [Marshal] writes it, and refuses what it could not write without loss.
//
// The form:
//
//	apiVersion: tidegate/v1
//	flags:
//	  new-checkout:
//	    description: The rebuilt checkout.
//	    owner: payments
//	    tags: [checkout]
//	    kind: release                       # release, experiment, operational, permission
//	    expectedLifetime: 40d
//	    metadata: {ticket: PAY-7}
//	    type: boolean                       # boolean, string, integer, double, object
//	    enabled: true
//	    variants: {on: true, off: false}
//	    offVariant: off
//	    prerequisites: [{flag: base, variants: [on]}]
//	    rules:
//	      - id: staff
//	        when:                           # all must hold
//	          - {attribute: email, endsWith: "@mycompany.com"}
//	          - {inSegment: beta, not: true}
//	        serve: on
//	      - id: large-carts
//	        expression: {">": [{var: cart.items}, 20]}  # JsonLogic, instead of 'when'
//	        serve: on
//	      - id: by-plan                     # the result names the variant; null: the next rule
//	        serve: {expression: {if: [{in: [{var: plan}, [gold, black]]}, on, null]}}
//	    default:
//	      split: [{variant: on, weight: 1}, {variant: off, weight: 99}]
//	      bucketBy: accountId
//	      salt: checkout
//	    bucketingVersion: 3                 # 2 or 3; also of a split
//	segments:
//	  beta:
//	    keyAttribute: email
//	    included: [ann@example.com]
//	    excluded: [bob@example.com]
//	    rules:
//	      - when: [{attribute: plan, in: [beta, pilot]}]
//
// Names and texts are read as written: a variant called on, 1 or 2026-01-01 needs no
// quotes. Values (of variants, clauses, expressions and metadata) have the types of YAML
// 1.2, and numbers are written as in JSON: what YAML readers disagree on (017, 1_000, .5)
// is an error. Where no bucketing version is written, it is 2 for a flag, and the flag's
// for a split.
//
// Anchors, aliases, merge keys and tags are errors: what is written is what is there.
//
// Parse reads the form as JSON too, and flagd definitions in both. (Package flagd writes
// those.)
//
// Rollouts are in files of their own, as they are started, not applied: what a rollout owns
// changes by itself from then on. [ParseRollouts] reads them:
//
//	apiVersion: tidegate/v1
//	rollouts:
//	  new-checkout-1:
//	    description: The rebuilt checkout, for everyone.
//	    owner: payments
//	    flag: new-checkout
//	    rule: canada                        # default: the flag's default outcome
//	    from: off                           # default: what is served now
//	    to: on
//	    strategy: canary                    # or blue-green, experiment, fixed; or stages:
//	    stages:
//	      - {weight: 1%, minDwell: 2m}
//	      - {weight: 100%, minDwell: 1h, manual: true}
//	    holdback: 2%
//	    bake: 30m
//	    guardrails:                         # the form is that of package rollout
//	      errors: rate < +5% relative, weight 2
//	      slow: p99(latency) < +100ms, hold
//	    success: rate(purchases) rises, relevant 2%
//	    unit: subject                       # or request
//	    falseRollbackBudget: 1%
//	    edgeBreaker: {after: 10s}           # or {disabled: true}
//	    notify: [checkout-alerts]
package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// apiVersion is the version of the form, the first field of each document.
const apiVersion = "tidegate/v1"

// Document is what one file, or several, say.
type Document struct {
	// In the order of the files.
	Flags    []*flagv1.Flag
	Segments []*flagv1.Segment
	Rollouts []*rolloutv1.Rollout // of ParseRollouts alone

	// places by 'flags[KEY]', 'segments[KEY]' and 'rollouts[KEY]'.
	places map[string]*place
}

// Position is a place in a file; Line and Column from 1, columns in characters.
type Position struct {
	File         string
	Line, Column int
}

func (p Position) String() string {
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Error is one thing wrong, at a place.
type Error struct {
	Position Position
	// Field is the path in the words of the file, such as
	// 'flags[new-checkout].rules[0].when[0].endsWith'; empty where the file is not YAML.
	Field string
	// Problem says what is wrong and what would be right.
	Problem string
}

func (e Error) Error() string {
	text := e.Problem
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	if e.Position.Line == 0 { // not in a file
		return text
	}
	return e.Position.String() + ": " + text
}

// Errors is a non-empty list, in the order of the file.
type Errors []Error

// Error is one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Sort brings the list into the order of the file.
func (e Errors) Sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column))
	})
}

// Parse reads one file's content; name is for messages, and with '.json' at its end says
// that it is JSON. Everything wrong is reported at once, as [Errors]. Definitions are
// validated (compiled) too; what concerns other flags and segments, which may not be in
// the file, is not.
func Parse(name string, data []byte) (*Document, error) {
	d := decode(name, data)
	d.validate()
	return d.result()
}

// ParseRollouts reads a file of rollouts as Parse reads others. They are validated by
// themselves; what concerns their flags is not.
func ParseRollouts(name string, data []byte) (*Document, error) {
	d := decodeRollouts(name, data)
	d.validateRollouts()
	return d.result()
}

// Merge makes one document of several. The error, if any, is an [Errors] that names
// each flag, segment and rollout that is defined more than once.
func Merge(documents ...*Document) (*Document, error) {
	merged := &Document{places: map[string]*place{}}
	var errs Errors
	for _, d := range documents {
		add := func(name string) bool {
			at := d.places[name]
			if first, ok := merged.places[name]; ok {
				errs = append(errs, Error{
					Position: at.Position, Field: name,
					Problem: fmt.Sprintf("is already defined at %s: keep one of the two", first.Position),
				})
				return false
			}
			merged.places[name] = at
			return true
		}
		for _, f := range d.Flags {
			if add(flagPath(f.GetKey())) {
				merged.Flags = append(merged.Flags, f)
			}
		}
		for _, s := range d.Segments {
			if add(segmentPath(s.GetKey())) {
				merged.Segments = append(merged.Segments, s)
			}
		}
		for _, r := range d.Rollouts {
			if add(rolloutPath(r.GetKey())) {
				merged.Rollouts = append(merged.Rollouts, r)
			}
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return merged, nil
}

// Locate finds the place of a field that the server named, in the words of the proto
// ('flags[KEY].rules[0].id', 'segments[KEY].included[3]'). Where the field is not
// written down, it is the place of what it would be a part of. It reports false for
// what is not in a file.
func (d *Document) Locate(field string) (Position, bool) {
	err, ok := d.Explain(field, "")
	return err.Position, ok
}

// Explain is Locate for a whole problem: what the server said about a field, in the
// words of the file.
func (d *Document) Explain(field, problem string) (Error, bool) {
	root, rest := splitRoot(field)
	at, ok := d.places[root]
	if !ok {
		return Error{}, false
	}
	at, rest = at.find(rest)
	return Error{Position: at.Position, Field: at.path() + fileWords(rest), Problem: problem}, true
}

func flagPath(key string) string    { return "flags[" + key + "]" }
func segmentPath(key string) string { return "segments[" + key + "]" }
func rolloutPath(key string) string { return "rollouts[" + key + "]" }

package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
)

// preview evaluates a flag in two environments for many keys, and counts.
type preview struct {
	// What to evaluate for.
	file         string // of keys, or -; empty: made-up ones
	sample       int
	keyAttribute string // empty: the targeting key
	attributes   map[string]any
	region       string
	now          int64
	list         int // most of movers

	key           string
	before, after *eval.Environment

	total, moved int
	counts       map[move]int
	movers       []mover // the first ones
	problem      string  // of the first answer that would be an error
}

// answered is what a key gets.
type answered struct {
	variant string // empty: the caller's default, or an error
	code    eval.ErrorCode
}

// move is from one answer to another, or to the same.
type move struct{ before, after answered }

func (m move) moves() bool { return m.before != m.after }

type mover struct {
	key string
	move
}

// check reports mistakes in the command line.
func (p *preview) check(sampleGiven bool) error {
	switch {
	case p.file != "" && sampleGiven:
		return usagef("--sample is how many keys to make up: pass it, or --keys")
	case p.sample <= 0:
		return usagef("--sample %d: expected a number from 1", p.sample)
	case p.list < 0:
		return usagef("--list %d: expected a number from 0", p.list)
	}
	return nil
}

// run evaluates for each key.
func (p *preview) run(ctx context.Context, in io.Reader) error {
	subject, setKey := p.subject()
	now, then := p.before.Flag(p.key), p.after.Flag(p.key)
	p.counts = map[move]int{}
	err := p.eachKey(ctx, in, func(key string) {
		setKey(key)
		result := p.after.EvaluateFlag(then, subject)
		if result.ErrorCode != "" && p.problem == "" {
			p.problem = result.ErrorMessage()
		}
		m := move{answerOf(p.before.EvaluateFlag(now, subject)), answerOf(result)}
		p.total++
		p.counts[m]++
		if !m.moves() {
			return
		}
		p.moved++
		if len(p.movers) < p.list {
			p.movers = append(p.movers, mover{key, m})
		}
	})
	if err == nil && p.total == 0 {
		err = fmt.Errorf("%s holds no keys: expected one a line", p.fileName())
	}
	return err
}

// subject returns the context that is evaluated, and what gives it a key.
func (p *preview) subject() (subject *eval.Context, setKey func(key string)) {
	attributes := p.attributes
	if attributes == nil {
		attributes = map[string]any{}
	}
	subject = &eval.Context{Attributes: eval.Map(attributes), Region: p.region, Now: p.now}
	if p.keyAttribute == "" {
		return subject, func(key string) { subject.TargetingKey = key }
	}
	path := strings.Split(p.keyAttribute, ".")
	for _, name := range path[:len(path)-1] {
		inner, ok := attributes[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			attributes[name] = inner
		}
		attributes = inner
	}
	last := path[len(path)-1]
	return subject, func(key string) { attributes[last] = key }
}

func answerOf(r eval.Result) answered {
	a := answered{code: r.ErrorCode}
	if r.Variant != nil {
		a.variant = r.Variant.Name
	}
	return a
}

func (p *preview) fileName() string {
	if p.file == "-" {
		return "<stdin>"
	}
	return visible(p.file)
}

// longestTargetingKey bounds a line of a file of keys, in bytes.
const longestTargetingKey = 64 << 10

// eachKey visits the keys of the file, or as many as were asked for.
func (p *preview) eachKey(ctx context.Context, in io.Reader, visit func(key string)) error {
	if p.file == "" {
		for i := range p.sample {
			if err := ctx.Err(); err != nil {
				return err
			}
			visit("sample-" + strconv.Itoa(i+1))
		}
		return nil
	}
	if p.file != "-" {
		f, err := os.Open(p.file)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestTargetingKey)
	n := 0
	for ; lines.Scan(); n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if key := lines.Text(); key != "" {
			visit(key)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s, line %d: %w", p.fileName(), n+1, err)
	}
	return nil
}

// moves returns what was counted, the most frequent first.
func (p *preview) moves() []move {
	moves := make([]move, 0, len(p.counts))
	for m := range p.counts {
		moves = append(moves, m)
	}
	slices.SortFunc(moves, func(a, b move) int {
		return cmp.Or(p.counts[b]-p.counts[a], strings.Compare(a.before.text(), b.before.text()), strings.Compare(a.after.text(), b.after.text()))
	})
	return moves
}

func (a answered) text() string {
	switch {
	case a.code != "":
		return "error " + string(a.code)
	case a.variant == "":
		return "(the caller's default)"
	}
	return singleLine(a.variant)
}

// share is a count as a percentage of the keys.
func (p *preview) share(count int) string {
	const digits = 4
	return strconv.FormatFloat(100*float64(count)/float64(p.total), 'g', digits, 64) + "%"
}

// answer is the preview for machines.
func (p *preview) answer(environment string, revision int64) (*structpb.Struct, error) {
	moves := make([]any, 0, len(p.counts))
	for _, m := range p.moves() {
		moves = append(moves, map[string]any{"before": m.before.answer(), "after": m.after.answer(), "keys": p.counts[m]})
	}
	movers := make([]any, 0, len(p.movers))
	for _, m := range p.movers {
		movers = append(movers, map[string]any{"key": m.key, "before": m.before.answer(), "after": m.after.answer()})
	}
	return structpb.NewStruct(map[string]any{
		"flagKey": p.key, "environment": environment, "revision": strconv.FormatInt(revision, 10),
		"keys": p.total, "madeUp": p.file == "", "moved": p.moved, "moves": moves, "movers": movers,
	})
}

// answer is empty for the caller's default.
func (a answered) answer() map[string]any {
	switch {
	case a.code != "":
		return map[string]any{"errorCode": string(a.code)}
	case a.variant == "":
		return map[string]any{}
	}
	return map[string]any{"variant": a.variant}
}

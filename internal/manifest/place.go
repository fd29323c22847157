package manifest

import (
	"slices"
	"strconv"
	"strings"
)

// place is where a field of a message is written in a file. Places form a tree in the
// shape of the message, with labels in the words of the file.
type place struct {
	Position
	parent *place
	label  string // what leads here from the parent, such as '.when' or '[0]'
	// faulty: an error was reported here, so that others about the same are noise.
	faulty bool
	fields map[string]*place
	items  []*place
	// elsewhere is where what stands here is written, if it is only referred to here.
	elsewhere *place
}

// field adds the place of the message's field.
func (p *place) field(name, label string, at Position) *place {
	if p.fields == nil {
		p.fields = map[string]*place{}
	}
	child := &place{Position: at, parent: p, label: label}
	p.fields[name] = child
	return child
}

// item adds the place of the next element of a repeated field.
func (p *place) item(label string, at Position) *place {
	child := &place{Position: at, parent: p, label: label}
	p.items = append(p.items, child)
	return child
}

func (p *place) index(at Position) *place {
	return p.item("["+strconv.Itoa(len(p.items))+"]", at)
}

// path is the field in the words of the file.
func (p *place) path() string {
	if p.parent == nil {
		return p.label
	}
	return strings.TrimPrefix(p.parent.path()+p.label, ".")
}

// entryLabel is the label of an entry of the mapping at p: names that authors choose
// stand in brackets, those of fields follow a dot.
func (p *place) entryLabel(name string) string {
	switch p.label {
	case ".flags", ".segments", ".rollouts", ".variants", ".guardrails":
		return "[" + name + "]"
	}
	return "." + name
}

// find follows a path of the proto ('rules[0].id') as far as it is written down, and
// returns what is left of it.
func (p *place) find(path string) (at *place, rest string) {
	for path != "" {
		step, rest := nextStep(path)
		var next *place
		if i, ok := strings.CutPrefix(step, "["); ok {
			if n, err := strconv.Atoi(i); err == nil && n >= 0 && n < len(p.items) {
				next = p.items[n]
			}
		} else {
			next = p.fields[step]
		}
		if next == nil {
			return p, path
		}
		if p, path = next, rest; p.elsewhere != nil {
			p = p.elsewhere
		}
	}
	return p, ""
}

// faultyWithin reports whether an error was reported at p or at what p is a part of,
// up to the root.
func (p *place) faultyWithin() bool {
	for ; p != nil; p = p.parent {
		if p.faulty {
			return true
		}
	}
	return false
}

// faultyBelow reports whether an error was reported at p or at a part of it.
func (p *place) faultyBelow() bool {
	if p == nil {
		return false
	}
	if p.faulty {
		return true
	}
	for _, part := range p.fields {
		if part.faultyBelow() {
			return true
		}
	}
	return slices.ContainsFunc(p.items, (*place).faultyBelow)
}

// nextStep takes 'name' or '[index' off the path.
func nextStep(path string) (step, rest string) {
	if path[0] == '[' {
		step, rest, _ = strings.Cut(path, "]")
	} else if i := strings.IndexAny(path, ".["); i >= 0 {
		step, rest = path[:i], path[i:]
	} else {
		step = path
	}
	return step, strings.TrimPrefix(rest, ".")
}

// splitRoot splits 'flags[KEY].rest'; a key holds no ']'.
func splitRoot(field string) (root, rest string) {
	i := strings.IndexByte(field, ']')
	if i < 0 {
		return field, ""
	}
	return field[:i+1], strings.TrimPrefix(field[i+1:], ".")
}

// fileWords says in the words of the file what a message lacks there.
func fileWords(rest string) string {
	if rest == "" {
		return ""
	}
	step, _ := nextStep(rest)
	switch step {
	case "off_variant":
		return ".offVariant"
	case "default_outcome":
		return ".default"
	case "flag_key":
		return ".flag"
	case "clauses":
		return ".when"
	case "outcome":
		return ".serve"
	case "bucket_by":
		return ".bucketBy"
	case "treatment":
		return ".to"
	case "control":
		return ".from"
	case "edge_breaker":
		return ".edgeBreaker"
	case "key_attribute":
		return ".keyAttribute"
	case "bucketing_version":
		return ".bucketingVersion"
	case "client_visible":
		return ".clientVisible"
	case "operator", "values", "value", "split":
		return "" // has no name of its own
	}
	if step[0] == '[' {
		return step + "]"
	}
	return "." + step
}

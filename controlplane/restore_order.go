package controlplane

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

const (
	// What a change takes in a transaction is estimated: it is stored twice, and its differences
	// once.
	storedTimes    = 3
	maxChunkBytes  = 1 << 20
	maxChunkLength = maxDiffering
)

// restoring is one change of a restoration.
type restoring struct {
	*change
	before version
	after  proto.Message // nil: deleted
}

func (r *restoring) cost() int {
	size := 0
	for _, m := range []proto.Message{r.before.message, r.after} {
		if m != nil {
			size = max(size, proto.Size(m))
		}
	}
	return storedTimes * size
}

// name is how needs names what a change is of.
func (r *restoring) name() string { return r.kind.name + " " + r.key }

// provider is the name of what has to be there for a need: for a variant, its flag.
func provider(need string) string {
	parts := strings.SplitN(need, " ", 3)
	return strings.Join(parts[:2], " ")
}

// keeps tells whether what somebody needed of it is there after the change, too.
func (r *restoring) keeps(need string) bool {
	_, variant, ok := strings.Cut(need, " variant ")
	return r.after != nil && (!ok || provides(r.after)[variant])
}

// inOrder puts changes into groups, of which each needs at most what the groups before it have
// made, and takes away what at most they have stopped to need: after each group, all references
// hold if they do before the first and after the last. What cannot be done one after the other
// is one group.
//
// A flag comes after all that it will need. So whatever a changed flag needs is as it shall be,
// and no cycle can come about of old and new prerequisites. What is taken away, by a deletion or
// with a variant, comes after those who needed it.
func inOrder(changes []*restoring) [][]*restoring {
	slices.SortFunc(changes, func(a, b *restoring) int {
		return cmp.Or(cmp.Compare(b.kind.letter, a.kind.letter), cmp.Compare(a.key, b.key)) // segments first
	})
	byName := make(map[string]int, len(changes))
	for i, c := range changes {
		byName[c.name()] = i
	}
	first := make([][]int, len(changes)) // of each, those that must come before it, or with it
	for i, c := range changes {
		for name := range needs(c.after) {
			if other, ok := byName[name]; ok {
				first[i] = append(first[i], other)
			}
		}
		for name := range needs(c.before.message) {
			if other, ok := byName[provider(name)]; ok && !changes[other].keeps(name) {
				first[other] = append(first[other], i)
			}
		}
	}
	return groups(changes, first)
}

// groups returns the strongly connected parts of a graph, each after those that must come
// before it (Tarjan).
func groups(changes []*restoring, first [][]int) [][]*restoring {
	var (
		found   [][]*restoring
		stack   []int
		number  = make([]int, len(changes)) // 0: not visited
		low     = make([]int, len(changes))
		onStack = make([]bool, len(changes))
		count   int
		visit   func(int)
	)
	visit = func(i int) {
		count++
		number[i], low[i] = count, count
		stack, onStack[i] = append(stack, i), true
		slices.Sort(first[i])
		for _, j := range first[i] {
			if number[j] == 0 {
				visit(j)
				low[i] = min(low[i], low[j])
			} else if onStack[j] {
				low[i] = min(low[i], number[j])
			}
		}
		if low[i] != number[i] {
			return
		}
		from := slices.Index(stack, i)
		var group []*restoring
		for _, j := range stack[from:] {
			onStack[j] = false
			group = append(group, changes[j])
		}
		stack, found = stack[:from], append(found, group)
	}
	for i := range changes {
		if number[i] == 0 {
			visit(i)
		}
	}
	return found
}

// chunks puts groups into transactions. tooLarge is a group that none takes.
func chunks(all [][]*restoring) (chunks [][]*restoring, tooLarge []*restoring) {
	var last []*restoring
	size := 0
	for _, group := range all {
		cost := 0
		for _, c := range group {
			cost += c.cost()
		}
		if len(group) > maxChunkLength || len(group) > 1 && cost > maxChunkBytes {
			return nil, group
		}
		if len(last) > 0 && (len(last)+len(group) > maxChunkLength || size+cost > maxChunkBytes) {
			chunks, last, size = append(chunks, last), nil, 0
		}
		last, size = append(last, group...), size+cost
	}
	if len(last) > 0 {
		chunks = append(chunks, last)
	}
	return chunks, nil
}

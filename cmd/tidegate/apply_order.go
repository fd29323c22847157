package main

import (
	"slices"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Limits of one Apply call. Each resource is sent once, and stored twice: with its audit
// entry, which lists the changes besides.
const (
	maxTransaction      = 30
	maxTransactionBytes = 1 << 20
	storedTimes         = 3
)

// transaction is what one Apply call writes.
type transaction struct {
	segments []*controlv1.SegmentWrite
	flags    []*controlv1.FlagWrite
	deletes  []*controlv1.ResourceDelete
	cost     int
	// results are those of its validation until it is written.
	results  []*controlv1.ApplyResult
	revision int64 // 0: not written yet
}

func (t *transaction) len() int { return len(t.segments) + len(t.flags) }

func (t *transaction) fits(count, cost int) bool {
	return t.len() == 0 || t.len()+count <= maxTransaction && t.cost+cost <= maxTransactionBytes
}

func cost(m proto.Message) int { return storedTimes * proto.Size(m) }

// transactions puts writes into as few calls as the limits allow: segments first, and
// flags after those that they need. Flags that need each other, in either direction,
// share a call unless they are too many.
func transactions(segments []*controlv1.SegmentWrite, flags []*controlv1.FlagWrite) []*transaction {
	last := &transaction{}
	all := []*transaction{last}
	next := func(count, cost int) *transaction {
		if !last.fits(count, cost) {
			last = &transaction{}
			all = append(all, last)
		}
		return last
	}
	for _, s := range segments {
		t := next(1, cost(s.GetSegment()))
		t.segments = append(t.segments, s)
		t.cost += cost(s.GetSegment())
	}
	for _, group := range flagGroups(flags) {
		groupCost := 0
		for _, f := range group {
			groupCost += cost(f.GetFlag())
		}
		if len(group) <= maxTransaction && groupCost <= maxTransactionBytes {
			next(len(group), groupCost)
		}
		for _, f := range group {
			t := next(1, cost(f.GetFlag()))
			t.flags = append(t.flags, f)
			t.cost += cost(f.GetFlag())
		}
	}
	if last.len() == 0 {
		return nil
	}
	return all
}

// deletions puts deletes into as few calls as the limit allows, in their order.
func deletions(deletes []*controlv1.ResourceDelete) []*transaction {
	var all []*transaction
	for part := range slices.Chunk(deletes, maxTransaction) {
		all = append(all, &transaction{deletes: part})
	}
	return all
}

// flagGroups parts flags into those linked by prerequisites, each in an order in which
// every flag comes after those that it needs.
func flagGroups(flags []*controlv1.FlagWrite) [][]*controlv1.FlagWrite {
	byKey := make(map[string]*controlv1.FlagWrite, len(flags))
	neighbours := make(map[string][]string, len(flags))
	for _, f := range flags {
		byKey[f.GetFlag().GetKey()] = f
	}
	for _, f := range flags {
		key := f.GetFlag().GetKey()
		for _, p := range f.GetFlag().GetPrerequisites() {
			if byKey[p.GetFlagKey()] != nil {
				neighbours[key] = append(neighbours[key], p.GetFlagKey())
				neighbours[p.GetFlagKey()] = append(neighbours[p.GetFlagKey()], key)
			}
		}
	}
	var groups [][]*controlv1.FlagWrite
	grouped, ordered := map[string]bool{}, map[string]bool{}
	for _, f := range flags {
		members := connected(f.GetFlag().GetKey(), neighbours, grouped)
		if len(members) == 0 {
			continue
		}
		var group []*controlv1.FlagWrite
		for _, key := range members {
			group = needsFirst(byKey[key], byKey, ordered, group)
		}
		groups = append(groups, group)
	}
	return groups
}

// connected returns what can be reached from key and was not yet.
func connected(key string, neighbours map[string][]string, seen map[string]bool) []string {
	var members []string
	for queue := []string{key}; len(queue) > 0; queue = queue[1:] {
		if k := queue[0]; !seen[k] {
			seen[k] = true
			members = append(members, k)
			queue = append(queue, neighbours[k]...)
		}
	}
	return members
}

// needsFirst appends the flag after those that it needs. A cycle ends somewhere: it is
// refused later, with a better explanation.
func needsFirst(f *controlv1.FlagWrite, byKey map[string]*controlv1.FlagWrite, done map[string]bool, to []*controlv1.FlagWrite) []*controlv1.FlagWrite {
	if done[f.GetFlag().GetKey()] {
		return to
	}
	done[f.GetFlag().GetKey()] = true
	for _, p := range f.GetFlag().GetPrerequisites() {
		if needed := byKey[p.GetFlagKey()]; needed != nil {
			to = needsFirst(needed, byKey, done, to)
		}
	}
	return append(to, f)
}

func flagWrite(f *flagv1.Flag, base int64) *controlv1.FlagWrite {
	return &controlv1.FlagWrite{Flag: f, BaseRevision: proto.Int64(base)}
}

func segmentWrite(s *flagv1.Segment, base int64) *controlv1.SegmentWrite {
	return &controlv1.SegmentWrite{Segment: s, BaseRevision: proto.Int64(base)}
}

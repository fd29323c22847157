package live

import (
	"cmp"
	"slices"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func flagID(key string) snapshot.ID { return snapshot.ID{Kind: syncv1.Kind_KIND_FLAG, Key: key} }

// changedIDs are those of what a delta puts and deletes.
func changedIDs(d snapshot.Delta) []snapshot.ID {
	ids := make([]snapshot.ID, 0, len(d.Puts)+len(d.Deletes))
	for _, item := range d.Puts {
		ids = append(ids, item.ID())
	}
	for _, gone := range d.Deletes {
		ids = append(ids, gone.ID)
	}
	return ids
}

// partOf is the part that shows a kind; unspecified: none does.
func partOf(k syncv1.Kind) controlv1.Part {
	switch k {
	case syncv1.Kind_KIND_FLAG:
		return controlv1.Part_PART_FLAGS
	case syncv1.Kind_KIND_SEGMENT:
		return controlv1.Part_PART_SEGMENTS
	case syncv1.Kind_KIND_ROLLOUT:
		return controlv1.Part_PART_ROLLOUTS
	}
	return controlv1.Part_PART_UNSPECIFIED
}

// shows tells whether the stream shows what a snapshot has, or had, of that id.
func (s *stream) shows(in *snapshot.Snapshot, id snapshot.ID) bool {
	if !s.parts[partOf(id.Kind)] || !s.reader.Sees(id.Key) {
		return false
	}
	if id.Kind != syncv1.Kind_KIND_ROLLOUT {
		return true
	}
	return s.reader.SeesRollout(id.Key, flagOfRollout(in, id.Key))
}

// flagOfRollout is the flag that a rollout of a snapshot moves; empty: it is not known.
func flagOfRollout(in *snapshot.Snapshot, key string) string {
	if in == nil {
		return ""
	}
	item, _ := in.Item(syncv1.Kind_KIND_ROLLOUT, key)
	r, err := item.Rollout()
	if err != nil {
		return ""
	}
	return r.GetFlagKey()
}

// changes adds what a delta puts and deletes: deletions, then puts in the order of revisions. All of
// a snapshot is in the order of keys: a page that shows it as it comes has a list that grows at its end.
func (s *stream) changes(b *batch, now *snapshot.Snapshot, d snapshot.Delta) {
	for _, gone := range d.Deletes {
		if !s.shows(s.sent, gone.ID) {
			continue
		}
		switch gone.Kind {
		case syncv1.Kind_KIND_FLAG:
			b.deletedFlag(gone.Key)
		case syncv1.Kind_KIND_SEGMENT:
			b.deletedSegment(gone.Key)
		case syncv1.Kind_KIND_ROLLOUT:
			b.deletedRollout(gone.Key)
		}
	}
	unusable := s.unusable(now)
	puts := slices.SortedFunc(slices.Values(d.Puts), func(x, y snapshot.Item) int {
		if !d.Full && x.ModRevision != y.ModRevision {
			return cmp.Compare(x.ModRevision, y.ModRevision)
		}
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Key, y.Key))
	})
	for _, item := range puts {
		if !s.shows(now, item.ID()) {
			continue
		}
		switch item.Kind {
		case syncv1.Kind_KIND_FLAG:
			b.flag(s.flagSummary(item, unusable[item.Key]))
		case syncv1.Kind_KIND_SEGMENT:
			b.segment(segmentSummary(item))
		case syncv1.Kind_KIND_ROLLOUT:
			b.rollout(rolloutSummary(item))
		}
	}
}

// unusable are the flags of a snapshot that cannot be used.
func (s *stream) unusable(now *snapshot.Snapshot) map[string]bool {
	keys := make(map[string]bool)
	for _, r := range now.Rejections() {
		if r.Item.Kind == syncv1.Kind_KIND_FLAG {
			keys[r.Item.Key] = true
		}
	}
	return keys
}

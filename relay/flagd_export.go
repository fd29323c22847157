package relay

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/flagd"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// flagdExport makes the flagd definition of one environment: once for each state, for
// all callers, and of the flags that changed only. What it keeps for that takes memory,
// until it is released.
type flagdExport struct {
	replica  *replica.Replica
	metadata *structpb.Struct
	logger   zerolog.Logger

	mu       sync.Mutex
	exporter flagd.Exporter
	flags    map[string]decoded[*flagv1.Flag]
	segments map[string]decoded[*flagv1.Segment]
	set      string // empty: none is kept
	of       snapshot.Cursor
	omitted  []flagd.Omission
}

// decoded is a definition, with the bytes that it was decoded from.
type decoded[T any] struct {
	from       *byte
	definition T
}

// definition returns the flags of the newest snapshot as a flagd definition; without ok,
// there is none.
func (x *flagdExport) definition() (definition string, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.replica.Snapshot() // here, so that what is kept only goes forward
	if s == nil {
		return "", false
	}
	if x.set != "" && x.of.SameState(s.Cursor()) {
		return x.set, true
	}
	flags, segments, omitted := x.decode(s)
	set, more := x.exporter.Export(flags, segments, x.metadata)
	omitted = append(omitted, more...)
	if !slices.Equal(omitted, x.omitted) {
		x.logOmitted(omitted)
	}
	if len(set) > grpcClientLimit && len(x.set) <= grpcClientLimit {
		x.logger.Warn().Int("bytes", len(set)).
			Msg("the flagd definition is larger than the 4 MiB that gRPC clients accept: raise their limits")
	}
	x.of, x.set, x.omitted = s.Cursor(), string(set), omitted
	return x.set, true
}

// release lets go of what is kept for the next time.
func (x *flagdExport) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.exporter, x.flags, x.segments, x.set = flagd.Exporter{}, nil, nil, ""
}

// grpcClientLimit is what gRPC clients receive in one message unless told otherwise.
const grpcClientLimit = 4 << 20

// decode returns the definitions of the snapshot. Those that did not change are the same
// messages as before, which is how the exporter knows.
func (x *flagdExport) decode(s *snapshot.Snapshot) (flags []*flagv1.Flag, segments []*flagv1.Segment, omitted []flagd.Omission) {
	inForce := map[snapshot.ID]*snapshot.Item{} // instead of what cannot be used; nil: nothing
	for _, r := range s.Rejections() {
		inForce[r.Item.ID()] = r.Good
		if r.Good == nil && r.Item.Kind == syncv1.Kind_KIND_FLAG {
			omitted = append(omitted, flagd.Omission{Flag: r.Item.Key, Reason: "its definition cannot be used: " + r.Err.Error()})
		}
	}
	nextFlags := make(map[string]decoded[*flagv1.Flag], len(x.flags))
	nextSegments := make(map[string]decoded[*flagv1.Segment], len(x.segments))
	for item := range s.Items() {
		if good, rejected := inForce[item.ID()]; rejected {
			if good == nil {
				continue
			}
			item = *good
		}
		switch item.Kind {
		case syncv1.Kind_KIND_FLAG:
			if d, ok := decodeOnce(x.flags, item, snapshot.Item.Flag); ok {
				nextFlags[item.Key] = d
				flags = append(flags, d.definition)
			}
		case syncv1.Kind_KIND_SEGMENT:
			if d, ok := decodeOnce(x.segments, item, snapshot.Item.Segment); ok {
				nextSegments[item.Key] = d
				segments = append(segments, d.definition)
			}
		}
	}
	x.flags, x.segments = nextFlags, nextSegments
	return flags, segments, omitted
}

// decodeOnce decodes an item that is not there already. One that cannot be decoded was
// rejected before.
func decodeOnce[T any](there map[string]decoded[T], item snapshot.Item, decode func(snapshot.Item) (T, error)) (decoded[T], bool) {
	from := unsafe.SliceData(item.Data) //nolint:gosec // it is compared, not used
	if d, ok := there[item.Key]; ok && d.from == from {
		return d, true
	}
	definition, err := decode(item)
	return decoded[T]{from, definition}, err == nil
}

// loggedOmissions bounds a line of the log.
const loggedOmissions = 10

func (x *flagdExport) logOmitted(omitted []flagd.Omission) {
	if len(omitted) == 0 {
		x.logger.Info().Msg("flagd's in-process providers get all flags again")
		return
	}
	reasons := zerolog.Dict()
	for _, o := range omitted[:min(len(omitted), loggedOmissions)] {
		reasons.Str(o.Flag, o.Reason)
	}
	x.logger.Warn().Int("flags", len(omitted)).Dict("reasons", reasons).
		Msg("some flags have no form in flagd: its in-process providers do not get them")
}

// omissions is how many flags the newest definition leaves out.
func (x *flagdExport) omissions() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.omitted)
}

package otlp

import (
	"slices"
	"strconv"
	"strings"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// maxStreams is how many cumulative streams are followed, of all sources together.
	maxStreams = 20_000
	// sourceIdle is how long a source that is silent is remembered.
	sourceIdle = 15 * time.Minute
	// newAfter is how long a source must be known before a stream of it that is not is taken
	// for new: what it exports at one time may come in several requests.
	newAfter = 5 * time.Second
)

// source is a process that sends.
type source struct {
	first, used time.Time
	streams     map[string]*point // the last of each
}

// streams turn what is cumulative into differences. They are used by one goroutine at a time.
type streams struct {
	sources map[string]*source
	count   int
}

func newStreams() *streams { return &streams{sources: map[string]*source{}} }

// of returns a source, which is new if it was not known.
func (s *streams) of(host string, resource []*commonv1.KeyValue, now time.Time) *source {
	key := host + "\x00" + keyOf(resource)
	one := s.sources[key]
	if one == nil {
		one = &source{first: now, streams: map[string]*point{}}
		if len(s.sources) < maxStreams {
			s.sources[key] = one
		}
	}
	one.used = now
	return one
}

// forget drops silent sources, with all of their streams: one that comes back is new.
func (s *streams) forget(now time.Time) {
	for key, one := range s.sources {
		if now.Sub(one.used) > sourceIdle {
			s.count -= len(one.streams)
			delete(s.sources, key)
		}
	}
}

// difference makes of a cumulative point what it adds to the one before; ok is false if there
// is nothing to count, problem says why if that is not as it should be.
func (s *streams) difference(from *source, metric string, p point, now time.Time) (d point, ok bool, problem string) {
	key := metric + "\x00" + strconv.FormatUint(p.start, 10) + "\x00" + keyOf(p.attributes)
	before, last := from.streams[key], p
	last.attributes = nil
	switch {
	case before == nil && s.count >= maxStreams:
		return p, false, "there are " + strconv.Itoa(maxStreams) + " cumulative streams already: export with delta temporality"
	case before == nil:
		s.count++
		from.streams[key] = &last
		return p, now.Sub(from.first) >= newAfter || p.start >= uint64(from.first.UnixNano()), ""
	case p.at <= before.at:
		return p, false, "" // it came twice, or too late
	}
	from.streams[key] = &last
	d, ok = p.minus(before)
	if !ok { // it began again without saying so
		return p, true, ""
	}
	return d, true, ""
}

// minus is what p adds to the point before; ok is false if it is not a later one of the same.
func (p *point) minus(before *point) (d point, ok bool) {
	d = *p
	if p.value < before.value || p.count < before.count || p.shape != before.shape || (p.exp == nil) != (before.exp == nil) {
		return d, false
	}
	d.value, d.count, d.sum = p.value-before.value, p.count-before.count, p.sum-before.sum
	if p.exp == nil {
		if !slices.Equal(p.bounds, before.bounds) {
			return d, false
		}
		d.counts, ok = less(p.counts, before.counts, 0)
		return d, ok
	}
	d.exp, ok = p.exp.minus(before.exp)
	return d, ok
}

// less subtracts counts, the second shifted by so many places.
func less(a, b []uint64, shift int) ([]uint64, bool) {
	out := slices.Clone(a)
	for i, n := range b {
		if n == 0 {
			continue
		}
		at := i + shift
		if at < 0 || at >= len(out) || out[at] < n {
			return nil, false
		}
		out[at] -= n
	}
	return out, true
}

// minus subtracts; the scale may have become smaller since, never larger.
func (e *exponential) minus(before *exponential) (*exponential, bool) {
	d := &exponential{scale: e.scale, zeros: e.zeros - before.zeros}
	by := before.scale - e.scale
	if by < 0 || e.zeros < before.zeros {
		return nil, false
	}
	var ok bool
	if d.positive, ok = e.positive.minus(before.positive.coarser(by)); !ok {
		return nil, false
	}
	d.negative, ok = e.negative.minus(before.negative.coarser(by))
	return d, ok
}

func (b buckets) minus(before buckets) (buckets, bool) {
	counts, ok := less(b.counts, before.counts, int(before.offset)-int(b.offset))
	return buckets{b.offset, counts}, ok
}

// coarser are the buckets at a scale that is smaller by so much: 2^by become one.
func (b buckets) coarser(by int32) buckets {
	if by == 0 || len(b.counts) == 0 {
		return b
	}
	out := buckets{offset: b.offset >> by}
	out.counts = make([]uint64, int((b.offset+int32(len(b.counts))-1)>>by-out.offset)+1)
	for i, n := range b.counts {
		out.counts[(b.offset+int32(i))>>by-out.offset] += n
	}
	return out
}

// keyOf tells attributes apart, whatever their order.
func keyOf(attributes []*commonv1.KeyValue) string {
	texts := make([]string, 0, len(attributes))
	for _, a := range attributes {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(a)
		if err == nil {
			texts = append(texts, string(b))
		}
	}
	slices.Sort(texts)
	return strings.Join(texts, "\x00")
}

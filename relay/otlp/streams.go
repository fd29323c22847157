package otlp

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// maxStreams is how many cumulative streams are followed, of all sources together.
	maxStreams = 20_000
	// sourceIdle is how long a source that is silent is remembered.
	sourceIdle = 15 * time.Minute
	// lookEvery is between two looks for silent sources.
	lookEvery = time.Minute
	// newAfter is how long a source must be known before a stream of it that is not is taken
	// for new: what it exports at one time may come in several requests.
	newAfter = 5 * time.Second
)

// identity stands for what tells sources or streams apart, which may be of any size.
type identity [sha256.Size]byte

// source is a process that sends.
type source struct {
	first, used time.Time
	streams     map[identity]*point // the last of each
	// unknown: there are too many to remember it.
	unknown bool
}

// streams turn what is cumulative into differences. They are used by one goroutine at a time.
type streams struct {
	sources map[identity]*source
	count   int
	looked  time.Time // for silent ones
}

func newStreams() *streams { return &streams{sources: map[identity]*source{}} }

// of returns a source, which is new if it was not known.
func (s *streams) of(host string, resource []*commonv1.KeyValue, now time.Time) *source {
	key := identify(host, resource)
	one := s.sources[key]
	if one == nil {
		one = &source{first: now, streams: map[identity]*point{}, unknown: len(s.sources) >= maxStreams}
		if !one.unknown {
			s.sources[key] = one
		}
	}
	one.used = now
	return one
}

// forget drops silent sources, with all of their streams, where there are many: one that comes
// back is new.
func (s *streams) forget(now time.Time) {
	if max(s.count, len(s.sources)) < maxStreams/2 || now.Sub(s.looked) < lookEvery {
		return
	}
	s.looked = now
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
	key := identify(metric+"\x00"+strconv.FormatUint(p.start, 10), p.attributes)
	before, last := from.streams[key], p
	last.attributes = nil
	switch {
	case from.unknown:
		return p, false, "cumulative streams of " + strconv.Itoa(maxStreams) + " sources are followed already: export with delta temporality"
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

// identify tells attributes apart, whatever their order.
func identify(what string, attributes []*commonv1.KeyValue) (id identity) {
	texts := make([]string, 0, len(attributes))
	for _, a := range attributes {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(a)
		if err == nil {
			texts = append(texts, string(b))
		}
	}
	slices.Sort(texts)
	h := sha256.New()
	for _, text := range append(texts, what) {
		_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))) // never fails
		_, _ = io.WriteString(h, text)
	}
	h.Sum(id[:0])
	return id
}

// Package series keeps how the evidence of rollouts stood over time, for people: the figures of
// each judgement, every second of the last five minutes, and more and more rarely before.
//
// There are levels, each with a tick twelve times that of the level below: 1 s, 12 s, 2.4 min,
// 29 min, 5.8 h and 2.9 days. Each level is a ring of chunks of 20 points, one for each tick at
// most, of which the newest 300 are kept; so a rollout has at most 1,800 points, whatever its
// age, and 864 days of them. A chunk is written when its time is over, and never changed after
// that: the leader writes one small value in 20 s for each rollout, and 1/12 of that again for
// the levels above.
//
// The leader adds to it ([Recorder]), apart from the transactions that decide: no decision waits
// for it or depends on it, and what a leader had not written when it died is lost, 20 s at most.
// What lies between the levels is not lost: the next leader goes on from the points below. Any
// server reads it ([Read]). It is deleted with its rollout. See docs/adr/0041.
package series

import (
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	root = "/tidegate/v1/s/"
	// levels there are, and by how much the tick of each is longer than that of the one below.
	levels, factor = 6, 12
	// perChunk is how many ticks a chunk covers, slots how many chunks of a level are kept.
	perChunk, slots = 20, 15
	// MaxPoints is how many points a series has at most.
	MaxPoints = levels * perChunk * slots
	// maxChunk bounds what is decompressed.
	maxChunk = 16 << 20
)

// ErrCorrupt says that something that the store holds cannot be used.
var ErrCorrupt = errors.New("series: a stored value cannot be decoded")

// ticks are those of the levels, in seconds.
var ticks = func() (t [levels]int64) {
	t[0] = 1
	for i := 1; i < levels; i++ {
		t[i] = factor * t[i-1]
	}
	return t
}()

func prefix(environment, rollout string) string { return root + environment + "/" + rollout + "/" }

func chunkKey(environment, rollout string, level int, number int64) string {
	return fmt.Sprintf("%s%d-%02d", prefix(environment, rollout), level, number%slots)
}

// Delete returns what deletes the series of a rollout.
func Delete(environment, rollout string) []store.Op {
	ops := make([]store.Op, 0, levels*slots)
	for level := range levels {
		for slot := range int64(slots) {
			ops = append(ops, store.Delete(chunkKey(environment, rollout, level, slot)))
		}
	}
	return ops
}

// chunk is a part of a level.
type chunk struct {
	number int64
	points []*controlv1.SeriesPoint
}

// tickOf is which tick of a level a point is of.
func tickOf(p *controlv1.SeriesPoint, level int) int64 {
	return p.GetTime().GetSeconds() / ticks[level]
}

// add adds a point that is the newest; of several in one tick, the newest is kept.
func (c *chunk) add(p *controlv1.SeriesPoint, level int) {
	if n := len(c.points); n > 0 && tickOf(c.points[n-1], level) == tickOf(p, level) {
		c.points[n-1] = p
		return
	}
	c.points = append(c.points, p)
}

// packer encodes chunks. What it compresses with is large, and used again.
type packer struct{ flate *flate.Writer }

func (p *packer) encode(c chunk, scales []*controlv1.GuardrailScale) ([]byte, error) {
	data, err := proto.Marshal(&controlv1.SeriesChunk{Number: c.number, Points: c.points, Scales: scales})
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	if p.flate == nil {
		if p.flate, err = flate.NewWriter(&packed, flate.DefaultCompression); err != nil {
			return nil, err
		}
	} else {
		p.flate.Reset(&packed)
	}
	if _, err := p.flate.Write(data); err != nil {
		return nil, err
	}
	if err := p.flate.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// decode reads a chunk, and of which level it is by the rest of its key.
func decode(kv store.KV, rest string) (level int, c *controlv1.SeriesChunk, err error) {
	name, _, _ := strings.Cut(rest, "-")
	if level, err = strconv.Atoi(name); err == nil && (level < 0 || level >= levels) {
		err = errors.New("there is no such level")
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(kv.Value)), maxChunk))
	}
	c = new(controlv1.SeriesChunk)
	if err == nil {
		err = proto.Unmarshal(data, c)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, strings.TrimPrefix(kv.Key, root), err)
	}
	return level, c, nil
}

// Series is that of one rollout.
type Series struct {
	// Scales are as of the newest point.
	Scales []*controlv1.GuardrailScale
	// Points, oldest first.
	Points []*controlv1.SeriesPoint
	// Corrupt says what of it could not be decoded, and was left out; nil: nothing.
	Corrupt error
}

// Read reads a series; an empty one, if there is none.
func Read(ctx context.Context, s store.Store, environment, rollout string) (*Series, error) {
	results, _, err := s.Read(ctx, store.Prefix(prefix(environment, rollout)))
	if err != nil {
		return nil, err
	}
	read := &Series{}
	var all [levels][]*controlv1.SeriesChunk
	var newest *controlv1.SeriesChunk
	for _, kv := range results[0].KVs {
		level, c, err := decode(kv, strings.TrimPrefix(kv.Key, prefix(environment, rollout)))
		if err != nil {
			read.Corrupt = cmp.Or(read.Corrupt, err)
			continue
		}
		all[level] = append(all[level], c)
		if newest == nil || latest(c.GetPoints()).After(latest(newest.GetPoints())) {
			newest = c
		}
	}
	read.Scales = newest.GetScales()
	for level := range levels {
		read.merge(all[level])
	}
	return read, nil
}

func latest(points []*controlv1.SeriesPoint) time.Time {
	if len(points) == 0 {
		return time.Time{}
	}
	return points[len(points)-1].GetTime().AsTime()
}

// merge adds the chunks of a level before what the levels below have, those that the ring has not
// overtaken.
func (s *Series) merge(chunks []*controlv1.SeriesChunk) {
	if len(chunks) == 0 {
		return
	}
	newest := slices.MaxFunc(chunks, byNumber).GetNumber()
	slices.SortFunc(chunks, byNumber)
	var points []*controlv1.SeriesPoint
	for _, c := range chunks {
		if c.GetNumber() > newest-slots {
			points = append(points, c.GetPoints()...)
		}
	}
	if len(s.Points) > 0 {
		first := s.Points[0].GetTime().AsTime()
		n := slices.IndexFunc(points, func(p *controlv1.SeriesPoint) bool { return !p.GetTime().AsTime().Before(first) })
		if n >= 0 {
			points = points[:n]
		}
	}
	s.Points = append(points, s.Points...)
}

func byNumber(a, b *controlv1.SeriesChunk) int { return cmp.Compare(a.GetNumber(), b.GetNumber()) }

// After returns the series without the points up to a time.
func (s *Series) After(t time.Time) *Series {
	n, _ := slices.BinarySearchFunc(s.Points, t, func(p *controlv1.SeriesPoint, t time.Time) int {
		if p.GetTime().AsTime().After(t) {
			return 1
		}
		return -1
	})
	return &Series{Scales: s.Scales, Points: s.Points[n:], Corrupt: s.Corrupt}
}

// append adds newer points than there are.
func (s *Series) append(points ...*controlv1.SeriesPoint) {
	for _, p := range points {
		if p.GetTime().AsTime().After(latest(s.Points)) {
			s.Points = append(s.Points, p)
		}
	}
}

// Proto is the answer of GetRolloutSeries.
func (s *Series) Proto() *controlv1.GetRolloutSeriesResponse {
	return &controlv1.GetRolloutSeriesResponse{Scales: s.Scales, Points: s.Points}
}

package ddsketch

import (
	"errors"
	"fmt"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// ErrMalformed is wrapped by errors about sketches that cannot be.
var ErrMalformed = errors.New("malformed sketch")

// maxCount is the largest count of a bin that is taken from elsewhere: sums of them do not
// overflow.
const maxCount = 1 << 48

// FromProto reads a sketch that may be anybody's; nil is the empty one. The error wraps
// [ErrMalformed].
func FromProto(m *telemetryv1.Sketch) (*Sketch, error) {
	s := &Sketch{zeros: m.GetZeros()}
	if s.zeros > maxCount {
		return nil, fmt.Errorf("%w: it counts %d zeros; at most 2^48", ErrMalformed, s.zeros)
	}
	if err := s.positive.read("bins", m.GetOffset(), m.GetBins()); err != nil {
		return nil, err
	}
	if err := s.negative.read("negative_bins", m.GetNegativeOffset(), m.GetNegativeBins()); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *store) read(field string, offset int32, bins []uint64) error {
	if len(bins) == 0 {
		return nil
	}
	if len(bins) > MaxBins {
		return fmt.Errorf("%w: %s has %d entries; at most %d", ErrMalformed, field, len(bins), MaxBins)
	}
	if first, last := int(offset), int(offset)+len(bins)-1; first < minBin || last > maxBin {
		return fmt.Errorf("%w: %s are those from %d to %d; they lie between %d and %d", ErrMalformed, field, first, last, minBin, maxBin)
	}
	for i, n := range bins {
		if n > maxCount {
			return fmt.Errorf("%w: %s[%d] is %d; at most 2^48", ErrMalformed, field, i, n)
		}
	}
	s.low, s.bins = int(offset), append(make([]uint64, 0, len(bins)), bins...)
	return nil
}

// Proto returns the sketch in its wire form, nil if it is empty. They share their bins: who
// goes on counting must take another sketch.
func (s *Sketch) Proto() *telemetryv1.Sketch {
	if s == nil || s.Count() == 0 {
		return nil
	}
	m := &telemetryv1.Sketch{Zeros: s.zeros}
	low, bins := s.positive.trimmed()
	m.Offset, m.Bins = int32(low), bins
	low, bins = s.negative.trimmed()
	m.NegativeOffset, m.NegativeBins = int32(low), bins
	return m
}

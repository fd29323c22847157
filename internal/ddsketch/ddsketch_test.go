package ddsketch_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/ddsketch"
)

// distributions are what latencies and other values look like.
var distributions = map[string]func(*rand.Rand) float64{
	"uniform":     func(r *rand.Rand) float64 { return r.Float64() },
	"exponential": func(r *rand.Rand) float64 { return r.ExpFloat64() * 0.05 },
	"lognormal":   func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64() * 3) },
	"pareto":      func(r *rand.Rand) float64 { return math.Pow(1-r.Float64(), -2) },
	"normal":      func(r *rand.Rand) float64 { return r.NormFloat64() },
	"few values":  func(r *rand.Rand) float64 { return float64(r.IntN(4)) - 1 },
}

func TestBins(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		v := math.Exp(random.Float64()*700 - 20)
		bin := ddsketch.Bin(v)
		// An edge is exact to a few units in its last place.
		const slack = 1e-11
		if v > ddsketch.Edge(bin)*(1+slack) || v < ddsketch.Edge(bin-1)*(1-slack) {
			t.Fatalf("%v is in bin %d, from %v to %v", v, bin, ddsketch.Edge(bin-1), ddsketch.Edge(bin))
		}
		if e := math.Abs(ddsketch.Value(bin)-v) / v; e > ddsketch.Accuracy*(1+1e-9) {
			t.Fatalf("%v stands for %v: off by %v", ddsketch.Value(bin), v, e)
		}
	}
	if got, want := math.Log(ddsketch.Edge(1)), math.Log(1.01/0.99); math.Abs(got-want) > 1e-15 {
		t.Errorf("log of gamma is %v, want %v", got, want)
	}
}

// Every quantile is within 1% of the exact one.
func TestQuantile(t *testing.T) {
	for name, draw := range distributions {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(2, 3))
			var s ddsketch.Sketch
			values := make([]float64, 20_000)
			for i := range values {
				values[i] = draw(random)
				s.Add(values[i])
			}
			slices.Sort(values)
			if s.Count() != uint64(len(values)) {
				t.Fatalf("count %d", s.Count())
			}
			for _, q := range []float64{0, 0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 1} {
				rank := max(int(math.Ceil(q*float64(len(values)))), 1)
				want, got := values[rank-1], s.Quantile(q)
				if math.Abs(got-want) > ddsketch.Accuracy*math.Abs(want)*(1+1e-9) {
					t.Errorf("quantile %v is %v, want %v", q, got, want)
				}
				if bin, ok := s.BinAtRank(uint64(rank)); ok {
					above := 0
					for _, v := range values {
						if v > 0 && ddsketch.Bin(v) > bin {
							above++
						}
					}
					if got := s.CountAbove(bin); got != uint64(above) {
						t.Errorf("quantile %v: %d above, want %d", q, got, above)
					}
				} else if want > ddsketch.Smallest {
					t.Errorf("quantile %v: no bin of %v", q, want)
				}
			}
		})
	}
}

// Merged sketches are the sketch of all values, in whatever order, over the wire too.
func TestMerge(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 5))
	for name, draw := range distributions {
		parts := make([]ddsketch.Sketch, 5)
		var whole ddsketch.Sketch
		for range 5_000 {
			v := draw(random)
			whole.Add(v)
			parts[random.IntN(len(parts))].Add(v)
		}
		for range 3 {
			var merged ddsketch.Sketch
			for _, i := range random.Perm(len(parts)) {
				part, err := ddsketch.FromProto(parts[i].Proto())
				if err != nil {
					t.Fatal(err)
				}
				merged.Merge(part)
			}
			if got, want := merged.Proto(), whole.Proto(); !proto.Equal(got, want) {
				t.Fatalf("%s: merged %v, want %v", name, got, want)
			}
		}
	}
}

// What is too far below the largest value is counted in the lowest bin: the count is kept, and
// the upper quantiles.
func TestCollapse(t *testing.T) {
	orders := [][]float64{{1e-9, 1, 1e12}, {1e12, 1, 1e-9}, {1, 1e12, 1e-9}}
	for _, values := range orders {
		var s ddsketch.Sketch
		for _, v := range values {
			s.Add(v)
		}
		m := s.Proto()
		if len(m.GetBins()) > ddsketch.MaxBins || s.Count() != 3 {
			t.Errorf("%v: %d bins, count %d", values, len(m.GetBins()), s.Count())
		}
		for q, want := range map[float64]float64{1: 1e12, 0.6: 1} {
			if got := s.Quantile(q); math.Abs(got-want) > want*0.0100001 {
				t.Errorf("%v: quantile %v is %v", values, q, got)
			}
		}
	}
	random := rand.New(rand.NewPCG(6, 7))
	var s ddsketch.Sketch
	for range 10_000 {
		s.Add(math.Exp(random.Float64()*1400 - 700))
	}
	if m := s.Proto(); len(m.GetBins()) > ddsketch.MaxBins || s.Count() != 10_000 {
		t.Errorf("%d bins, count %d", len(m.GetBins()), s.Count())
	}
}

func TestEdges(t *testing.T) {
	var s ddsketch.Sketch
	if !math.IsNaN(s.Quantile(0.5)) || !math.IsNaN(s.AtRank(1)) || s.Proto() != nil {
		t.Error("an empty sketch has values")
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s.Add(v)
	}
	if s.Count() != 0 {
		t.Error("what is no number was counted")
	}
	for _, v := range []float64{0, math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64} {
		s.Add(v)
	}
	if _, err := ddsketch.FromProto(s.Proto()); err != nil || s.Count() != 4 {
		t.Errorf("count %d, %v", s.Count(), err)
	}
}

func TestMalformed(t *testing.T) {
	for name, m := range map[string]*telemetryv1.Sketch{
		"too many bins":    {Bins: make([]uint64, ddsketch.MaxBins+1)},
		"out of range":     {Offset: 40_000, Bins: []uint64{1}},
		"below the range":  {NegativeOffset: -2000, NegativeBins: []uint64{1}},
		"overflow":         {Bins: []uint64{1 << 60}},
		"overflow of zero": {Zeros: 1 << 60},
		"last offset":      {Offset: math.MaxInt32, Bins: []uint64{1, 1}},
	} {
		if _, err := ddsketch.FromProto(m); !errors.Is(err, ddsketch.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzFromProto(f *testing.F) {
	var s ddsketch.Sketch
	s.Add(1)
	s.Add(-20)
	seed, _ := proto.Marshal(s.Proto())
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m telemetryv1.Sketch
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		s, err := ddsketch.FromProto(&m)
		if err != nil {
			return
		}
		n := s.Count()
		s.Quantile(0.99)
		var merged ddsketch.Sketch
		merged.Add(5)
		merged.Merge(s)
		if merged.Count() != n+1 {
			t.Fatalf("merged %d values into 1: %d", n, merged.Count())
		}
		if again, err := ddsketch.FromProto(s.Proto()); err != nil || again.Count() != n {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	var s ddsketch.Sketch
	random := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 4096)
	for i := range values {
		values[i] = random.ExpFloat64() * 0.05
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Add(values[i&4095])
		i++
	}
}

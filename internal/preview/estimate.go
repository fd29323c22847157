package preview

import (
	"cmp"
	"math"
	"slices"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// Estimate is what a merged sample tells of all subjects.
func Estimate(f *syncv1.PreviewFlag) *controlv1.FlagPreview {
	p := &controlv1.FlagPreview{
		FlagKey: f.GetFlagKey(), Relays: int32(min(f.GetRelays(), math.MaxInt32)), WithoutKey: f.GetWithoutKey(),
		Complete: f.GetBelow() == everything,
	}
	highest := uint64(0)
	for _, t := range f.GetTransitions() {
		n := int32(len(t.GetSubjects()))
		if n == 0 {
			continue
		}
		p.Sampled += n
		if t.GetDiffers() {
			p.Changing += n
		}
		highest = max(highest, t.GetSubjects()[n-1])
		p.Transitions = append(p.Transitions, &controlv1.FlagTransition{
			Before: t.GetBefore().GetVariant(), ErrorBefore: t.GetBefore().GetErrorCode(),
			After: t.GetAfter().GetVariant(), ErrorAfter: t.GetAfter().GetErrorCode(),
			Differs: t.GetDiffers(), Subjects: n,
		})
	}
	if p.GetSampled() == 0 {
		return p
	}
	for _, t := range p.GetTransitions() {
		t.Share = float64(t.GetSubjects()) / float64(p.GetSampled())
	}
	slices.SortStableFunc(p.GetTransitions(), func(a, b *controlv1.FlagTransition) int {
		return cmp.Compare(b.GetSubjects(), a.GetSubjects())
	})
	p.Subjects = subjects(p.GetSampled(), f.GetBelow(), highest)
	p.Share = float64(p.GetChanging()) / float64(p.GetSampled())
	p.ShareLow, p.ShareHigh = p.GetShare(), p.GetShare()
	if !p.GetComplete() {
		p.ShareLow, p.ShareHigh = wilson(float64(p.GetChanging()), float64(p.GetSampled()))
	}
	return p
}

// subjects is how many there are if so many have hashes below a bound. Where one of them is the
// bound, it says nothing of how many are below.
func subjects(sampled int32, below, highest uint64) int64 {
	if below == everything {
		return int64(sampled)
	}
	n := float64(sampled)
	if sampled > 1 && highest == below-1 {
		n--
	}
	const most = 1 << 62
	return int64(math.Round(min(n*math.Exp2(64)/float64(below), most)))
}

// wilson is the 95% interval of a share of which x of n were seen: E. B. Wilson, Probable
// inference, the law of succession, and statistical inference, 1927.
func wilson(x, n float64) (low, high float64) {
	const z = 1.959963984540054
	share := x / n
	middle := (share + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(share*(1-share)/n+z*z/(4*n*n))
	low, high = middle-half, middle+half
	switch x { // which rounding misses
	case 0:
		low = 0
	case n:
		high = 1
	}
	return low, high
}

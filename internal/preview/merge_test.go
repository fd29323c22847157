package preview

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// hashesOf are those of a told sample, ascending.
func hashesOf(f *syncv1.PreviewFlag) []uint64 {
	var all []uint64
	for _, t := range f.GetTransitions() {
		all = append(all, t.GetSubjects()...)
	}
	slices.Sort(all)
	return all
}

// TestMergedSampleIsThatOfTheUnion: relays that answer random subjects, merged in a random tree,
// tell to the byte what one would that has answered all of them, and that is those with the lowest
// hashes.
func TestMergedSampleIsThatOfTheUnion(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rng := random(seed)
		k := 1 + rng.IntN(Subjects)
		one := newRelay(t, enough)
		subjects := map[int]bool{}
		var answers []*syncv1.PreviewAnswer
		for range 1 + rng.IntN(6) {
			r := newRelay(t, enough)
			for range rng.IntN(2000) {
				subject := rng.IntN(3000)
				subjects[subject] = true
				r.answers(subject)
				one.answers(subject)
			}
			answers = append(answers, answerWith(r.compares(50, k)))
		}
		relays := uint32(len(answers))
		for len(answers) > 1 {
			answers = mergeSome(rng, answers, k)
		}
		m := NewMerger([]string{"checkout"}, k)
		m.Add(answers[0])
		got := m.Answer(7)
		want := one.compares(50, k)
		slices.SortFunc(want.Transitions, byFirst)
		want.Relays = relays
		if len(got.GetFlags()) != 1 || !proto.Equal(got.GetFlags()[0], want) || got.GetId() != 7 || got.GetRelays() != relays {
			t.Fatalf("seed %d, %d subjects: got %v\nwant %v", seed, len(subjects), got, want)
		}
		var lowest []uint64
		for subject := range subjects {
			lowest = append(lowest, one.flagHash(subject))
		}
		slices.Sort(lowest)
		if lowest = lowest[:min(len(lowest), k)]; !slices.Equal(hashesOf(want), lowest) {
			t.Fatalf("seed %d: these are not the lowest %d hashes", seed, k)
		}
		if complete := want.GetBelow() == math.MaxUint64; complete != (len(subjects) < k) {
			t.Fatalf("seed %d: of %d subjects, at most %d: complete is %v", seed, len(subjects), k, complete)
		}
	}
}

func byFirst(a, b *syncv1.PreviewTransition) int {
	if a.GetSubjects()[0] < b.GetSubjects()[0] {
		return -1
	}
	return 1
}

func (r *relay) flagHash(subject int) uint64 {
	of, ok := r.flag.AttachedSample().(*flagSample)
	if !ok {
		r.t.Fatal("nobody was answered")
	}
	return of.now.Load().hash(subjectContext(subject).TargetingKey)
}

// mergeSome puts one answer in the place of some.
func mergeSome(rng *rand.Rand, answers []*syncv1.PreviewAnswer, k int) []*syncv1.PreviewAnswer {
	rng.Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
	n := 1 + rng.IntN(len(answers))
	m := NewMerger([]string{"checkout"}, k)
	for _, a := range answers[:n] {
		m.Add(a)
	}
	return append(answers[n:], m.Answer(0))
}

// TestMergerTakesNoHarm: an answer may say anything.
func TestMergerTakesNoHarm(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	for subject := range 1000 {
		r.answers(subject)
	}
	good := answerWith(r.compares(50, Subjects))
	m := NewMerger([]string{"checkout"}, Subjects)
	m.Add(good)
	want := m.Answer(1)
	for _, bad := range []*syncv1.PreviewAnswer{
		nil,
		{Flags: []*syncv1.PreviewFlag{nil}},
		{Flags: []*syncv1.PreviewFlag{{FlagKey: "another", Relays: 1, Below: 5}}},
		{Flags: []*syncv1.PreviewFlag{{FlagKey: "checkout", Relays: 1}}},
		{Flags: []*syncv1.PreviewFlag{{FlagKey: "checkout", Below: 5}}},
		{Flags: []*syncv1.PreviewFlag{{FlagKey: "checkout", Below: 5, Relays: 0, Transitions: []*syncv1.PreviewTransition{nil}}}},
	} {
		m.Add(bad)
		if got := m.Answer(1); !proto.Equal(got, want) {
			t.Errorf("%v made it %v", bad, got)
		}
	}
	// A sample that claims more than is asked for is cut, and its hashes are put in order.
	hashes := make([]uint64, 3*Subjects)
	for i := range hashes {
		hashes[i] = uint64(len(hashes) - i)
	}
	m.Add(answerWith(&syncv1.PreviewFlag{
		FlagKey: "checkout", Relays: 1, Below: math.MaxUint64, Transitions: []*syncv1.PreviewTransition{nil, {Subjects: hashes}, {Subjects: hashes}},
	}))
	f := m.Answer(1).GetFlags()[0]
	if got := hashesOf(f); len(got) != Subjects || got[0] != 1 || f.GetBelow() != Subjects+1 {
		t.Errorf("got %d subjects from %d on, below %d", len(got), got[0], f.GetBelow())
	}
	if p := Estimate(f); p.GetSampled() != Subjects || p.GetSubjects() <= 0 {
		t.Errorf("got %v", p)
	}
}

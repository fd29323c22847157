package preview

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// sampled is how many subjects the sample has.
func (r *relay) sampled() int { return int(Estimate(r.compares(50, Subjects)).GetSampled()) }

// TestSpans: subjects are known for the half-hour in which they were answered and the next.
func TestSpans(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	r.answers(1)
	r.Turn(r.env, start.Add(24*time.Minute)) // 10:29
	if r.sampled() != 1 || !r.Since().Equal(start) {
		t.Fatalf("in its half-hour: %d since %s", r.sampled(), r.Since())
	}
	next := start.Add(25 * time.Minute) // 10:30
	r.Turn(r.env, next)
	r.answers(2)
	r.answers(1)
	if r.sampled() != 2 || !r.Since().Equal(start) {
		t.Fatalf("in the next: %d since %s", r.sampled(), r.Since())
	}
	r.Turn(r.env, next.Add(30*time.Minute))
	if r.sampled() != 2 || !r.Since().Equal(next) {
		t.Fatalf("answered in the next: %d since %s", r.sampled(), r.Since())
	}
	r.Turn(r.env, next.Add(60*time.Minute))
	if r.sampled() != 0 {
		t.Fatalf("two half-hours later: %d", r.sampled())
	}
	if got, want := r.memory.Used(), int64(flagBytes+len("checkout")); got != want {
		t.Errorf("%d bytes are taken by nobody, want %d", got, want)
	}
}

// TestClockSet: what was sampled when nobody knows is not told.
func TestClockSet(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{-time.Hour, 2 * time.Hour} {
		r := newRelay(t, enough)
		r.answers(1)
		r.Turn(r.env, start.Add(by))
		if r.sampled() != 0 || !r.Since().Equal(start.Add(by)) {
			t.Errorf("by %s: %d since %s", by, r.sampled(), r.Since())
		}
		if r.answers(1); r.sampled() != 1 {
			t.Errorf("by %s: nobody is sampled any more", by)
		}
	}
}

// TestEpochBeginsAnew: hashes of two epochs have nothing to do with each other.
func TestEpochBeginsAnew(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	r.answers(1)
	before := r.flagHash(1)
	r.Follow(epoch, start.Add(time.Minute))
	if r.sampled() != 1 {
		t.Fatal("the same epoch began anew")
	}
	r.Follow(snapshot.Epoch{Counter: 2, Random: 43}, start.Add(time.Minute))
	if r.sampled() != 0 || r.flagHash(1) == before {
		t.Errorf("%d are left, the hash is the same: %v", r.sampled(), r.flagHash(1) == before)
	}
}

// TestDeletedFlagIsForgotten with the half-hour after its last subject.
func TestDeletedFlagIsForgotten(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	r.answers(1)
	r.Turn(nil, start.Add(25*time.Minute))
	if used := r.memory.Used(); used != 0 || len(r.flags) != 0 {
		t.Errorf("%d bytes and %d flags are left", used, len(r.flags))
	}
	r.answers(2) // an answer that was under way
	if used := r.memory.Used(); used != 0 {
		t.Errorf("%d bytes are taken for a flag that is gone", used)
	}
}

// TestFlood: with far more subjects, contexts and flags than there is memory for, that is not
// exceeded, and each sample is still what it says: all subjects below its bound.
func TestFlood(t *testing.T) {
	t.Parallel()
	const limit = 256 << 10
	s := New("production", NewMemory(limit), start)
	s.Follow(epoch, start)
	var flags []*eval.Flag
	for i := range 20 {
		flags = append(flags, splitFlag(t, fmt.Sprintf("flag-%d", i), 10))
	}
	env := environmentOf(flags...)
	filler := strings.Repeat("x", 500)
	for subject := range 4000 {
		for i, f := range flags { // each with a context of its own
			c := &eval.Context{TargetingKey: fmt.Sprintf("user-%d", subject), Attributes: eval.Map{"i": i, "filler": filler, "subject": subject}}
			s.Saw(f, c)
			if used := s.memory.Used(); used > limit || used < 0 {
				t.Fatalf("%d bytes are taken of %d", used, limit)
			}
		}
		if subject%100 == 99 {
			s.Turn(env, start)
		}
	}
	if s.memory.Refused() == 0 {
		t.Fatal("it was no flood")
	}
	c := &Comparison{Before: env, After: env, Here: func(*eval.Context) {}}
	fewest := Subjects
	for _, f := range flags {
		told := s.Compare(context.Background(), c, f.Key(), Subjects)
		if told == nil {
			t.Errorf("%s: nothing is left", f.Key())
			continue
		}
		of := f.AttachedSample().(*flagSample).now.Load()
		var want []uint64
		for subject := range 4000 {
			if hash := of.hash(fmt.Sprintf("user-%d", subject)); hash < told.GetBelow() {
				want = append(want, hash)
			}
		}
		slices.Sort(want)
		if got := hashesOf(told); !slices.Equal(got, want) {
			t.Errorf("%s: %d subjects are told of, %d are below the bound", f.Key(), len(got), len(want))
		}
		fewest = min(fewest, len(want))
	}
	if fewest < 4 {
		t.Errorf("one flag has %d subjects left: memory is not shared out", fewest)
	}
}

// TestNoRoomIsNotZero: of a flag that is not sampled nothing is said.
func TestNoRoomIsNotZero(t *testing.T) {
	t.Parallel()
	r := newRelay(t, 100)
	r.answers(1)
	c := &Comparison{Before: r.env, After: r.env, Here: func(*eval.Context) {}}
	if f := r.Compare(context.Background(), c, "checkout", Subjects); f != nil {
		t.Errorf("got %v", f)
	}
}

// TestContextsAreKeptOnce for all flags.
func TestContextsAreKeptOnce(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	other := splitFlag(t, "other", 10)
	r.answers(1)
	before := r.memory.Used()
	r.Saw(other, subjectContext(1))
	if got, want := r.memory.Used()-before, int64(flagBytes+len("other")+placeBytes); got != want {
		t.Errorf("a second flag takes %d bytes, want %d", got, want)
	}
}

// TestWithoutKey: it is said that there are others.
func TestWithoutKey(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	r.answers(1)
	if r.compares(50, Subjects).GetWithoutKey() {
		t.Error("nobody was without")
	}
	r.Saw(r.flag, &eval.Context{})
	if !r.compares(50, Subjects).GetWithoutKey() || r.sampled() != 1 {
		t.Errorf("%d are sampled", r.sampled())
	}
	r.Turn(r.env, start.Add(30*time.Minute))
	if !r.compares(50, Subjects).GetWithoutKey() {
		t.Error("it was forgotten with the half-hour")
	}
	r.Turn(r.env, start.Add(60*time.Minute))
	if r.compares(50, Subjects).GetWithoutKey() {
		t.Error("it was not forgotten")
	}
}

// TestLargeContext is not kept, and costs no more than any other.
func TestLargeContext(t *testing.T) {
	r := newRelay(t, enough)
	large := &eval.Context{TargetingKey: "large", Attributes: eval.Map{"text": strings.Repeat("x", maxContext)}}
	r.Saw(r.flag, large)
	if allocated := testing.AllocsPerRun(100, func() { r.Saw(r.flag, large) }); allocated > 0 {
		t.Errorf("it is looked at with each answer: %v allocations", allocated)
	}
	if r.sampled() != 0 || r.memory.Used() > 10<<10 {
		t.Errorf("%d are sampled, in %d bytes", r.sampled(), r.memory.Used())
	}
}

// TestSawNoAlloc: an answer that is no news allocates nothing.
func TestSawNoAlloc(t *testing.T) {
	r := newRelay(t, enough)
	for subject := range 4000 {
		r.answers(subject)
	}
	subject := 0
	if allocated := testing.AllocsPerRun(1000, func() {
		r.answers(subject)
		subject++
	}); allocated > 0 {
		t.Errorf("%v allocations", allocated)
	}
	var none *Sampler
	none.Saw(r.flag, subjectContext(1))
	r.Saw(nil, subjectContext(1))
}

// TestNothingOfContextsIsTold: hashes and variants are all there is in an answer.
func TestNothingOfContextsIsTold(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	for subject := range 100 {
		r.answers(subject)
	}
	told, err := proto.Marshal(answerWith(r.compares(50, Subjects)))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"user-", "hush", "secret", "plan", "gold", "free"} {
		if bytes.Contains(told, []byte(word)) {
			t.Errorf("it tells %q", word)
		}
	}
}

// TestCompareEndsWithItsTime.
func TestCompareEndsWithItsTime(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	r.answers(1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := &Comparison{Before: r.env, After: r.env, Here: func(*eval.Context) {}}
	if f := r.Compare(ctx, c, "checkout", Subjects); f != nil {
		t.Errorf("got %v", f)
	}
}

// TestConcurrent: answers, questions and time, all at once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	r := newRelay(t, 64<<10)
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			for subject := range 3000 {
				r.answers((subject*7 + worker*991) % 5000)
			}
		})
	}
	running.Go(func() {
		for i := range 100 {
			r.Turn(r.env, start.Add(time.Duration(i)*5*time.Minute))
		}
	})
	running.Go(func() {
		c := &Comparison{Before: r.env, After: r.env, Here: func(*eval.Context) {}}
		for range 50 {
			r.Compare(context.Background(), c, "checkout", Subjects)
			r.Since()
		}
	})
	running.Wait()
	r.Turn(r.env, start.Add(1000*time.Hour))
	if got, want := r.memory.Used(), int64(flagBytes+len("checkout")); got != want {
		t.Errorf("%d bytes are taken by nobody, want %d", got, want)
	}
}

// TestFlagOfBefore: a flag that is in force again is sampled as before, over the half-hour, too.
func TestFlagOfBefore(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	for subject := range 3000 {
		r.answers(subject)
	}
	before, meanwhile := r.flag, splitFlag(t, "checkout", 0)
	r.Saw(meanwhile, subjectContext(1))
	r.Turn(environmentOf(meanwhile), start.Add(25*time.Minute))
	r.flag = before
	r.Turn(r.env, start.Add(26*time.Minute))
	r.Turn(r.env, start.Add(56*time.Minute))
	r.Turn(r.env, start.Add(86*time.Minute))
	for subject := range 100 {
		r.answers(subject)
	}
	if r.sampled() != 100 {
		t.Errorf("%d of 100 are sampled", r.sampled())
	}
}

// TestSubjectOfAll: one who comes again while nothing has changed is not looked at again; else
// it is.
func TestSubjectOfAll(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	again := func(state uint64) bool {
		s := r.SubjectOfAll(subjectContext(1), state)
		wanted := s.Wanted()
		s.Saw(r.flag, subjectContext(1))
		s.Noted()
		return wanted
	}
	if !again(1) || again(1) || !again(2) || r.sampled() != 1 {
		t.Errorf("%d are sampled", r.sampled())
	}
	r.Turn(r.env, start.Add(25*time.Minute))
	r.Turn(r.env, start.Add(55*time.Minute))
	if !again(2) || r.sampled() != 1 {
		t.Errorf("an hour later %d are sampled", r.sampled())
	}
	// One that was not finished is none.
	half := r.SubjectOfAll(subjectContext(2), 2)
	if next := r.SubjectOfAll(subjectContext(2), 2); !half.Wanted() || !next.Wanted() {
		t.Error("it counts as noted")
	}
	var none *Sampler
	if nobody := none.SubjectOfAll(subjectContext(1), 1); nobody.Wanted() {
		t.Error("nobody samples")
	}
}

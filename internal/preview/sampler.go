package preview

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// spanLength: a sample is of the span of time that is under way and the one before, so of
	// the last 30 to 60 minutes. Spans begin with the full and half hours of UTC, on all relays.
	spanLength = 30 * time.Minute
	// fewestSubjects is what samples are cut to, at least, where memory is short.
	fewestSubjects = 16
)

// Sampler keeps samples of the subjects of one environment's flags. Saw may be called from any
// goroutine, the other methods too. The nil Sampler samples nothing.
type Sampler struct {
	environment string
	memory      *Memory
	// full stands for flags that there was no memory for.
	full *flagSample

	// times is what hashes depend on now.
	times atomic.Pointer[times]
	// done are whom all flags of a state were noted for, by their marks.
	done [marks]atomic.Uint64

	mu    sync.Mutex // taken before any flag's
	flags map[string]*flagSample
	epoch snapshot.Epoch
	seed  uint64
	span  int64
	most  int // subjects of a sample
	// began is when the span began here, before when the one before did; zero: there is none.
	began, before time.Time
	refused       uint64 // as it was seen last
}

// flagSample is of one flag.
type flagSample struct {
	now atomic.Pointer[sample]
	// keyless is the span in which it was last evaluated without a targeting key.
	keyless atomic.Int64

	// flag is what it is attached to; guarded by mu.
	flag *eval.Flag

	mu     sync.Mutex // held while now or before changes
	before *sample    // nil: none
	// closed: nothing is kept any more.
	closed bool
	most   int
}

// New makes a sampler of an environment.
func New(environment string, memory *Memory, now time.Time) *Sampler {
	s := &Sampler{
		environment: environment, memory: memory, full: &flagSample{closed: true}, flags: map[string]*flagSample{},
		span: spanOf(now), most: Subjects, began: now,
	}
	s.full.now.Store(&sample{})
	s.times.Store(&times{span: s.span})
	return s
}

// times is the seed and the span of what is sampled now.
type times struct {
	seed uint64
	span int64
}

func spanOf(t time.Time) int64 { return t.Unix() / int64(spanLength/time.Second) }

// attach gives a compiled flag the sample of its key.
func (s *Sampler) attach(f *eval.Flag) *flagSample {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.flags[f.Key()]
	switch {
	case of != nil:
	case !s.memory.take(flagBytes + int64(len(f.Key()))):
		s.memory.refused.Add(1)
		of = s.full
	default:
		of = &flagSample{most: s.most}
		of.keyless.Store(-1)
		of.now.Store(s.empty())
		s.flags[f.Key()] = of
	}
	f.AttachSample(of)
	if of == s.full {
		f.WantSamples(0)
		return of
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	of.flag = f
	of.setLocked(of.now.Load())
	return of
}

// setLocked makes a sample the one that is there; mu is held.
func (of *flagSample) setLocked(s *sample) {
	of.now.Store(s)
	if of.flag != nil {
		of.flag.WantSamples(s.below)
	}
}

// empty is the sample of nobody; mu is held.
func (s *Sampler) empty() *sample { return &sample{seed: s.seed, span: s.span, below: everything} }

// admit takes a subject into the sample, whose highest ones make room for it where that is
// short: the sample stays one of all that were seen, and gets smaller.
func (of *flagSample) admit(memory *Memory, seed, hash uint64, data string) {
	of.mu.Lock()
	defer of.mu.Unlock()
	next := of.now.Load()
	if of.closed || next.seed != seed || !next.wants(hash) {
		return
	}
	c, ok := memory.keep(data)
	for !ok && len(next.hashes) > 0 && next.hashes[len(next.hashes)-1] > hash {
		memory.refused.Add(1)
		next = trim(memory, next, next.under(next.hashes[len(next.hashes)-1]))
		c, ok = memory.keep(data)
	}
	if !ok {
		memory.refused.Add(1)
		of.setLocked(next.under(hash))
		return
	}
	next = next.with(hash, c)
	of.setLocked(trim(memory, next, next.cut(of.most)))
}

// trim releases what a sample has more than a part of it, which it returns.
func trim(memory *Memory, s, part *sample) *sample {
	memory.release(s.contexts[len(part.contexts):])
	return part
}

// Follow has samples begin anew where the store's epoch is another: their hashes are then, too.
func (s *Sampler) Follow(epoch snapshot.Epoch, now time.Time) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch == s.epoch {
		return
	}
	s.epoch, s.seed = epoch, seedOf(s.environment, epoch)
	s.restart(now)
}

func seedOf(environment string, epoch snapshot.Epoch) uint64 {
	return xxhash.Sum64String(epoch.String() + "/" + environment)
}

// restart forgets all subjects; mu is held.
func (s *Sampler) restart(now time.Time) {
	s.began, s.before = now, time.Time{}
	s.times.Store(&times{seed: s.seed, span: s.span})
	for _, of := range s.flags {
		of.next(s.memory, s.empty(), false, s.most)
	}
}

// next begins a new sample, which the one so far goes before, if it is kept.
func (of *flagSample) next(memory *Memory, empty *sample, kept bool, most int) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.before != nil {
		memory.release(of.before.contexts)
	}
	of.before = nil
	if now := of.now.Load(); kept {
		of.before = now
	} else {
		memory.release(now.contexts)
	}
	of.most = most
	of.setLocked(empty)
}

// Turn brings the samples up to the time; env has the flags that there are. It is to be called
// about once a second, from one goroutine.
func (s *Sampler) Turn(env *eval.Environment, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	span := spanOf(now)
	if span != s.span {
		follows := span == s.span+1
		s.span, s.most = span, Subjects
		if !follows { // the clock was set, or the machine slept
			s.restart(now)
			return
		}
		s.before, s.began = s.began, now
		s.times.Store(&times{seed: s.seed, span: s.span})
		for key, of := range s.flags {
			of.next(s.memory, s.empty(), true, s.most)
			if env.Flag(key) == nil {
				s.forget(key, of)
			}
		}
	}
	for key, of := range s.flags {
		of.settle(env.Flag(key))
	}
	// Whoever comes late gets less: so all get less, where it is not enough for all.
	if refused := s.memory.Refused(); refused != s.refused {
		s.refused = refused
		s.most = max(s.most/2, fewestSubjects)
		for _, of := range s.flags {
			of.shrink(s.memory, s.most)
		}
	}
}

// settle attaches the sample to the flag that is in force: it may be one that was before.
func (of *flagSample) settle(f *eval.Flag) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if f != nil && f != of.flag && f.AttachedSample() == any(of) {
		of.flag = f
		of.setLocked(of.now.Load())
	}
}

// forget drops the sample of a flag that is gone; mu is held.
func (s *Sampler) forget(key string, of *flagSample) {
	of.next(s.memory, &sample{}, false, 0)
	of.mu.Lock()
	of.closed = true
	of.mu.Unlock()
	delete(s.flags, key)
	s.memory.used.Add(-flagBytes - int64(len(key)))
}

// shrink cuts both samples.
func (of *flagSample) shrink(memory *Memory, most int) {
	of.mu.Lock()
	defer of.mu.Unlock()
	of.most = most
	now := of.now.Load()
	of.setLocked(trim(memory, now, now.cut(most)))
	if of.before != nil {
		of.before = trim(memory, of.before, of.before.cut(most))
	}
}

// Since is since when subjects are sampled.
func (s *Sampler) Since() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.before.IsZero() {
		return s.before
	}
	return s.began
}

// of returns the sample of a flag, of at most k subjects, and whether it was evaluated without
// a targeting key; nil: there was no room for one.
func (s *Sampler) of(f *eval.Flag, key string, k int) (all *sample, withoutKey bool) {
	s.mu.Lock()
	of, span, empty := s.flags[key], s.span, s.empty()
	s.mu.Unlock()
	switch {
	case of != nil:
	case f != nil && f.AttachedSample() == any(s.full):
		return nil, false
	default:
		return empty, false
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	all = of.now.Load()
	if of.before != nil {
		all = union(all, of.before, k)
	}
	if all.below == 0 {
		return nil, false
	}
	return all.cut(k), of.keyless.Load() >= span-1
}

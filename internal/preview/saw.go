package preview

import "github.com/tidegate/tidegate/eval"

// marks is how many subjects are remembered as noted for all flags. A power of two.
const marks = 1024

// Subject is one who is answered. The zero Subject is noted nowhere.
type Subject struct {
	sampler *Sampler
	times   *times
	hash    uint64
	mark    uint64
	// data is the context as it is kept, once it was needed.
	data    string
	encoded bool
}

// Saw notes that a subject was answered. Its context may be used again afterwards.
func (s *Sampler) Saw(f *eval.Flag, ctx *eval.Context) {
	subject := s.Subject(ctx)
	subject.Saw(f, ctx)
}

// Subject is for who answers several flags.
func (s *Sampler) Subject(ctx *eval.Context) Subject {
	if s == nil {
		return Subject{}
	}
	t := s.times.Load()
	return Subject{sampler: s, times: t, hash: hashOf(ctx.TargetingKey, t.seed)}
}

// SubjectOfAll is for who answers all flags that there are in a state, and says which: one who
// comes again while that is the state is noted nowhere. Noted is called once all were.
func (s *Sampler) SubjectOfAll(ctx *eval.Context, state uint64) Subject {
	subject := s.Subject(ctx)
	if s == nil {
		return subject
	}
	subject.mark = max(mix(subject.hash^mix(state^mix(uint64(subject.times.span)))), 1)
	if s.done[subject.mark%marks].Load() == subject.mark {
		return Subject{}
	}
	return subject
}

// Wanted tells whether there is anything to note.
func (s *Subject) Wanted() bool { return s.sampler != nil }

// Hash places the subject among all: the lower, the sooner it is in a sample.
func (s Subject) Hash() uint64 { return s.hash }

// Noted says that all flags were.
func (s *Subject) Noted() {
	if s.mark != 0 {
		s.sampler.done[s.mark%marks].Store(s.mark)
	}
}

// Saw notes that the subject was answered a flag, nil for none, with the context that it is
// of. That is not a part of it, or every context answered would be on the heap.
func (s *Subject) Saw(f *eval.Flag, ctx *eval.Context) {
	if s.sampler == nil || f == nil || ctx.TargetingKey != "" && !f.WantsSample(s.hash) {
		return
	}
	s.saw(f, ctx)
}

// saw is for those that may belong into the sample.
func (s *Subject) saw(f *eval.Flag, ctx *eval.Context) {
	of, ok := f.AttachedSample().(*flagSample)
	if !ok {
		of = s.sampler.attach(f)
	}
	if ctx.TargetingKey == "" {
		if of.keyless.Load() != s.times.span {
			of.keyless.Store(s.times.span)
		}
		return
	}
	now := of.now.Load()
	if now.seed != s.times.seed || !now.wants(s.hash) { // of another epoch: a moment later it fits
		return
	}
	if !s.encoded {
		s.data, s.encoded = encode(ctx), true
	}
	of.admit(s.sampler.memory, now.seed, s.hash, s.data)
}

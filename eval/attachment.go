package eval

import "sync/atomic"

// attachment is the one part of a flag that is not fixed when it is compiled, and the one
// that evaluation does not look at.
type attachment struct {
	pointer, sample atomic.Pointer[any]
	unwanted        atomic.Uint64
}

// Attached returns what was attached to the flag, or nil. Two loads: whoever counts answers
// gets from a [Result] to its counters without looking anything up.
func (f *Flag) Attached() any {
	if p := f.attachment.pointer.Load(); p != nil {
		return *p
	}
	return nil
}

// Attach keeps something with this compiled flag, in the place of what was attached before.
// A flag has one owner who attaches to it: who follows the environment it was compiled for.
// It changes no answer. A flag that is compiled anew has nothing attached.
func (f *Flag) Attach(v any) { f.attachment.pointer.Store(&v) }

// AttachedSample returns what was attached by AttachSample, or nil.
func (f *Flag) AttachedSample() any {
	if p := f.attachment.sample.Load(); p != nil {
		return *p
	}
	return nil
}

// AttachSample is Attach for whoever samples subjects, beside who counts answers.
func (f *Flag) AttachSample(v any) { f.attachment.sample.Store(&v) }

// WantsSample tells whether a subject with the hash may belong into what is attached by
// AttachSample: one load, for it is asked with every answer. Before anybody says otherwise, all
// but the highest hash do.
func (f *Flag) WantsSample(hash uint64) bool { return hash < ^f.attachment.unwanted.Load() }

// WantSamples says that subjects with lower hashes may belong into it.
func (f *Flag) WantSamples(below uint64) { f.attachment.unwanted.Store(^below) }

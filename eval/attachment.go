package eval

import "sync/atomic"

// attachment is the one part of a flag that is not fixed when it is compiled, and the one
// that evaluation does not look at.
type attachment struct{ pointer atomic.Pointer[any] }

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

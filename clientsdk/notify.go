package clientsdk

import (
	"maps"
	"slices"
	"sync"
)

// listeners is a list of callbacks of one kind.
type listeners[T any] struct {
	mu     sync.Mutex
	fs     []*func(T)
	closed bool
}

func (l *listeners[T]) add(f func(T)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return func() {}
	}
	p := &f
	l.fs = append(l.fs, p)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.fs = slices.DeleteFunc(slices.Clone(l.fs), func(q *func(T)) bool { return q == p })
	}
}

// call calls those that are there now, in the order in which they came, but none that
// goes away meanwhile.
func (l *listeners[T]) call(v T) {
	l.mu.Lock()
	fs := slices.Clip(l.fs)
	l.mu.Unlock()
	for _, p := range fs {
		l.mu.Lock()
		there := slices.Contains(l.fs, p)
		l.mu.Unlock()
		if there {
			(*p)(v)
		}
	}
}

func (l *listeners[T]) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fs, l.closed = nil, true
}

// notifier calls callbacks on a goroutine of its own, so that a slow one delays
// neither evaluation nor the stream; what happens meanwhile is merged.
type notifier struct {
	current func() Status
	changes listeners[[]string]
	states  listeners[Status]

	mu     sync.Mutex
	keys   map[string]struct{} // changed, not yet told
	state  bool                // may have changed
	busy   bool                // a callback runs
	closed bool
	wake   chan struct{}
	done   chan struct{}
}

// newNotifier starts a notifier; stopNotifying ends it.
func newNotifier(current func() Status) *notifier {
	n := &notifier{current: current, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go n.run()
	return n
}

func (n *notifier) OnChange(f func(flagKeys []string)) (stop func()) { return n.changes.add(f) }

func (n *notifier) OnState(f func(Status)) (stop func()) {
	last := n.current().State
	return n.states.add(func(s Status) {
		if s.State != last {
			last = s.State
			f(s)
		}
	})
}

func (n *notifier) changed(keys []string) {
	if len(keys) == 0 {
		return
	}
	n.mu.Lock()
	if n.keys == nil {
		n.keys = make(map[string]struct{}, len(keys))
	}
	for _, key := range keys {
		n.keys[key] = struct{}{}
	}
	n.mu.Unlock()
	signal(n.wake)
}

// checkState tells that the state may have changed.
func (n *notifier) checkState() {
	n.mu.Lock()
	n.state = true
	n.mu.Unlock()
	signal(n.wake)
}

func (n *notifier) run() {
	defer close(n.done)
	for range n.wake {
		for n.deliver() {
		}
		n.mu.Lock()
		closed := n.closed
		n.mu.Unlock()
		if closed {
			return
		}
	}
}

// deliver calls the callbacks for what is pending; false: nothing is, or it is closed.
func (n *notifier) deliver() bool {
	n.mu.Lock()
	keys, state := n.keys, n.state
	n.keys, n.state = nil, false
	n.busy = !n.closed && (keys != nil || state)
	busy := n.busy
	n.mu.Unlock()
	if busy && state {
		n.states.call(n.current())
	}
	if busy && keys != nil {
		n.changes.call(slices.Sorted(maps.Keys(keys)))
	}
	return busy
}

// stopNotifying forgets the callbacks and waits for the goroutine, unless it is in a callback:
// that may be the caller.
func (n *notifier) stopNotifying() {
	n.mu.Lock()
	n.closed = true
	busy := n.busy
	n.mu.Unlock()
	n.changes.close()
	n.states.close()
	signal(n.wake)
	if !busy {
		<-n.done
	}
}

// signal wakes who waits for c, now or later.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

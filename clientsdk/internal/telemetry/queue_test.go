package telemetry

import (
	"testing"

	"pgregory.net/rapid"
)

// TestQueue: it holds the newest that fit, in order, whatever is pushed and taken.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queue{maxEntries: rapid.IntRange(1, 20).Draw(t, "entries"), maxBytes: rapid.IntRange(1, 200).Draw(t, "bytes")}
		var model []entry
		bytes := func() (n int) {
			for _, e := range model {
				n += e.bytes
			}
			return n
		}
		number := uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "what") > 0 {
				number++
				e := entry{event: event(int(number)), bytes: rapid.IntRange(1, 60).Draw(t, "size"), number: number}
				dropped := uint64(0)
				for len(model) > 0 && (len(model) == q.maxEntries || bytes()+e.bytes > q.maxBytes) {
					model, dropped = model[1:], dropped+1
				}
				model = append(model, e)
				if got := q.push(e); got != dropped {
					t.Fatalf("dropped %d, not %d", got, dropped)
				}
			} else {
				events := q.take(rapid.IntRange(1, 5).Draw(t, "events"), rapid.IntRange(1, 100).Draw(t, "message"))
				if len(events) == 0 && len(model) > 0 {
					t.Fatal("nothing was taken")
				}
				for _, e := range events {
					if e != model[0].event {
						t.Fatal("another one was taken")
					}
					model = model[1:]
				}
			}
			oldest := uint64(0)
			if len(model) > 0 {
				oldest = model[0].number
			}
			if q.len() != len(model) || q.bytes != bytes() || q.oldest() != oldest {
				t.Fatalf("%d entries of %d bytes from %d on, not %d of %d from %d", q.len(), q.bytes, q.oldest(), len(model), bytes(), oldest)
			}
			if len(q.entries) > 4*q.maxEntries+16 {
				t.Fatalf("room for %d entries", len(q.entries))
			}
		}
	})
}

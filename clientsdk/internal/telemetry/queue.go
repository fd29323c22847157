package telemetry

import telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

// entry is one observation that waits.
type entry struct {
	event  *telemetryv1.Event
	bytes  int
	number uint64 // counts from 1
}

// queue holds the newest entries, up to a number and a size.
type queue struct {
	maxEntries, maxBytes int

	entries []entry // from head on
	head    int
	bytes   int
}

// push adds an entry, and returns how many of the oldest were dropped for it.
func (q *queue) push(e entry) (dropped uint64) {
	for q.len() > 0 && (q.len() >= q.maxEntries || q.bytes+e.bytes > q.maxBytes) {
		q.drop()
		dropped++
	}
	if q.head > 0 && len(q.entries) == cap(q.entries) && q.head >= len(q.entries)/2 {
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	q.entries = append(q.entries, e)
	q.bytes += e.bytes
	return dropped
}

// drop removes the oldest.
func (q *queue) drop() {
	q.bytes -= q.entries[q.head].bytes
	q.entries[q.head] = entry{}
	q.head++
}

// take removes the oldest ones, up to a number and a size, but at least one.
func (q *queue) take(maxEntries, maxBytes int) []*telemetryv1.Event {
	events := make([]*telemetryv1.Event, 0, min(q.len(), maxEntries))
	for bytes := 0; q.len() > 0 && len(events) < maxEntries; q.drop() {
		e := &q.entries[q.head]
		if bytes += e.bytes; bytes > maxBytes && len(events) > 0 {
			break
		}
		events = append(events, e.event)
	}
	if q.len() == 0 { // what a burst took is given back
		q.entries, q.head = nil, 0
	}
	return events
}

// oldest is the number of the oldest; 0: there is none.
func (q *queue) oldest() uint64 {
	if q.len() == 0 {
		return 0
	}
	return q.entries[q.head].number
}

func (q *queue) len() int { return len(q.entries) - q.head }

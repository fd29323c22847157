package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

const (
	// maxAck is above what an Ack takes.
	maxAck = 256
	// A stream that ended is opened again after a random wait of at most backoffMin,
	// doubled with each failure.
	backoffMin, backoffMax = 500 * time.Millisecond, 30 * time.Second
)

// stream is one follower: it has a cursor, but no flags. It is used under its
// connection's lock.
type stream struct {
	fleet *fleet
	link  *link
	name  string
	// joined: it was in sync before.
	joined bool

	id             uint32
	room           int64 // what may be sent
	received       uint32
	partial        []byte // the beginning of a message
	cursor         []byte // of what it has; empty: nothing
	revision       int64  // the highest that was told to the collector
	unacknowledged bool
	inSync         bool
	failures       int
	backoff        time.Duration // that the server asked for
	parting        string        // what the server said before the stream's end
}

func (s *stream) begin(id uint32, room int64) {
	s.id, s.room, s.received, s.partial = id, room, 0, nil
	s.unacknowledged, s.inSync, s.backoff, s.parting = false, false, 0, ""
}

func (s *stream) hello() []byte {
	if s.fleet.empty.Load() {
		s.cursor = nil
	}
	return appendHello(nil, s.name, s.fleet.environment, s.cursor)
}

func (s *stream) ack() []byte {
	return appendAck(nil, s.fleet.environment, s.cursor)
}

// take takes what came in one frame.
func (s *stream) take(data []byte, now time.Time) error {
	if len(s.partial) > 0 {
		s.partial = append(s.partial, data...)
		data = s.partial
	}
	rest := data
	for len(rest) >= 5 {
		if rest[0] != 0 {
			return fmt.Errorf("%w: it is compressed", errMalformed)
		}
		end := 5 + int(binary.BigEndian.Uint32(rest[1:]))
		if len(rest) < end {
			break
		}
		if err := s.message(rest[5:end], now); err != nil {
			return err
		}
		rest = rest[end:]
	}
	switch {
	case len(rest) == 0:
		s.partial = nil
	case len(s.partial) == 0 || len(rest) < len(data):
		s.partial = append([]byte(nil), rest...)
	}
	return nil
}

func (s *stream) message(b []byte, now time.Time) error {
	a, err := readAnswer(b)
	if err != nil {
		return err
	}
	switch {
	case a.parting:
		s.parting, s.backoff = syncv1.Goodbye_Code(a.code).String(), a.backoff
	case a.current != nil && s.inSync:
		s.cursor = append(s.cursor[:0], a.current...)
	case a.committed != nil:
		s.cursor = append(s.cursor[:0], a.committed...)
		s.unacknowledged = s.fleet.acks.Load()
		if a.revision > s.revision { // a stream that broke may have it already
			s.revision = a.revision
			s.fleet.collector.deliver(a.revision, now)
		}
		if s.inSync {
			return nil
		}
		s.inSync, s.failures = true, 0
		s.fleet.collector.join(now)
		if !s.joined {
			s.joined = true
			if s.link.joining.Add(-1) == 0 {
				s.link.joined()
			}
		}
	}
	return nil
}

// end notes why the stream ended.
func (s *stream) end(why string) {
	if s.parting != "" {
		why = s.parting
	}
	s.fleet.collector.end(why, s.inSync)
	s.failures, s.inSync, s.partial = s.failures+1, false, nil
	s.unacknowledged = false
}

// wait is how long to wait before the stream is opened again.
func (s *stream) wait() time.Duration {
	ceiling := backoffMin
	for i := 1; i < s.failures && ceiling < backoffMax; i++ {
		ceiling *= 2
	}
	wait := rand.N(min(ceiling, backoffMax)) //nolint:gosec // spreads load, guards nothing
	if s.backoff > wait {
		wait = s.backoff + rand.N(backoffMin) //nolint:gosec // as above
	}
	return wait
}

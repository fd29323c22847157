package relay

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// sseRetry is how long browsers wait before they connect again.
	sseRetry = 2 * time.Second
	// ofrepWriteTimeout is how long a caller may not read.
	ofrepWriteTimeout = 30 * time.Second
	ticketParameter   = "ticket"
)

// eventsURI is where the events of an environment are. An EventSource sends no headers:
// the query names the environment.
func eventsURI(environment string) string {
	return ofrepSSEPath + "?" + url.Values{"environment": {environment}}.Encode()
}

// eventsFor is eventsURI for who presents a key, which an EventSource could not either: the query
// has a ticket in its place.
func (e *environment) eventsFor(v *accesskey.Visitor) string {
	if ticket := v.Ticket(e.name); ticket != "" {
		return e.eventsURI + "&" + ticketParameter + "=" + ticket
	}
	return e.eventsURI
}

// eventsPass finds who asks for events, by their key or by a ticket.
func (e *environment) eventsPass(r *http.Request) (*pass, error) {
	tickets := r.URL.Query()[ticketParameter]
	if len(r.Header["Authorization"]) > 0 || len(tickets) == 0 {
		return e.pass(r.Header["Authorization"])
	}
	v, err := e.gate.TicketVisitor(tickets, e.name)
	if err != nil {
		return nil, err
	}
	return &pass{visitor: v}, nil
}

// events tells a caller to fetch all flags again whenever one may have changed: at once,
// unless the caller says that it has the current state, and after each change; until the caller's
// key is no longer good. Without a
// snapshot it waits for one: a browser does not come back after any status but 200.
func (h *ofrepHandler) events(ctx context.Context, c *ofrepCall) {
	env, ok := h.eventsEnvironment(c)
	if !ok {
		return
	}
	now, changes := env.replica.Subscribe()
	right, err := env.eventsPass(c.r)
	if err == nil {
		err = right.check(now)
	}
	if err != nil {
		c.failCall(err)
		return
	}
	c.head(http.StatusOK)
	defer env.streams.open(streamSSE)()
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s := &eventStream{w: c.w, control: http.NewResponseController(c.w), told: c.r.Header.Get("Last-Event-ID")}
	s.buffer = append(s.buffer, "retry: "+strconv.FormatInt(sseRetry.Milliseconds(), 10)+"\n\n"...)
	if now != nil {
		s.tell(now)
	}
	idle := time.NewTimer(keepAliveEvery)
	defer idle.Stop()
	for s.flush() {
		idle.Reset(keepAliveEvery)
		select {
		case <-changes.Changed():
			_, _, newest, err := collect(ctx, changes)
			if err != nil || right.check(newest) != nil {
				return
			}
			now = newest
			s.tell(newest)
		case <-right.expired:
			if right.check(now) != nil {
				return
			}
		case <-idle.C:
			s.buffer = append(s.buffer, ": keep-alive\n\n"...)
		case <-ctx.Done():
			return
		case <-h.evaluation.draining:
			return
		}
	}
}

// eventsEnvironment finds the environment; without ok, the call is answered.
func (h *ofrepHandler) eventsEnvironment(c *ofrepCall) (env *environment, ok bool) {
	environments := c.r.Header["Tidegate-Environment"]
	if len(environments) == 0 {
		environments = c.r.URL.Query()["environment"]
	}
	env, err := h.evaluation.choose(environments, c.r.Header["Flagd-Selector"], "")
	if err != nil {
		c.failCall(err)
		return nil, false
	}
	return env, true
}

// stateOf names the state of a snapshot: the id of the event that told it.
func stateOf(s *snapshot.Snapshot) string { return s.Cursor().Digest.String() }

// eventStream is one answer of server-sent events.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	told    string // the state that the caller knows of
	buffer  []byte
}

// tell adds an event that tells to fetch all flags again, if the state is another than
// the caller knows of; also if there is none any more, which the caller then finds out.
func (s *eventStream) tell(now *snapshot.Snapshot) {
	if now == nil && s.told != "" {
		s.told = ""
		s.buffer = append(s.buffer, "id\nevent: message\ndata: {\"type\":\"refetchEvaluation\"}\n\n"...)
	}
	if now == nil || stateOf(now) == s.told {
		return
	}
	s.told = stateOf(now)
	s.buffer = append(s.buffer, "id: "+s.told+"\nevent: message\ndata: "+
		`{"type":"refetchEvaluation","etag":"`+s.told+`","lastModified":`...)
	s.buffer = strconv.AppendInt(s.buffer, time.Now().Unix(), 10)
	s.buffer = append(s.buffer, "}\n\n"...)
}

// flush sends what was added, and tells whether the caller is still there.
func (s *eventStream) flush() bool {
	// A writer that cannot set a deadline is one of a test or of a middleware.
	_ = s.control.SetWriteDeadline(time.Now().Add(ofrepWriteTimeout))
	if len(s.buffer) > 0 {
		if _, err := s.w.Write(s.buffer); err != nil {
			return false
		}
		s.buffer = s.buffer[:0]
	}
	return s.control.Flush() == nil
}

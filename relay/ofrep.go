package relay

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/jsondoc"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// The paths of OFREP, OpenFeature's remote evaluation protocol.
const (
	ofrepPath      = "/ofrep/v1/"
	ofrepFlagsPath = ofrepPath + "evaluate/flags"
	ofrepSSEPath   = ofrepPath + "sse"
)

// ofrepHeaders are the request headers that an evaluation of one flag depends on.
var ofrepHeaders = []string{"Authorization", "Content-Type", "Tidegate-Environment", "Flagd-Selector"}

const (
	// maxOFREPBody is flagd's bound.
	maxOFREPBody = 1_000_000
	// firstBytes is the memory that a body gets before any of it has arrived.
	firstBytes = 32 << 10
	// ofrepBodyTimeout is how long a body may take to arrive.
	ofrepBodyTimeout = 10 * time.Second
)

// ofrepHandler serves OFREP: one flag, all flags, and events.
type ofrepHandler struct {
	evaluation *evaluationService
	limit      *addressLimit // nil: none
	calls      sync.Pool     // of *ofrepCall
	// answered counts answers by their status.
	answered [600]atomic.Uint64
}

func newOFREPHandler(s *evaluationService, requestsPerSecond int) *ofrepHandler {
	h := &ofrepHandler{evaluation: s}
	if requestsPerSecond > 0 {
		h.limit = newAddressLimit(requestsPerSecond)
	}
	h.calls.New = func() any { return &ofrepCall{handler: h} }
	return h
}

// ServeHTTP implements [http.Handler].
func (h *ofrepHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == ofrepSSEPath {
		// A stream lasts: it must not keep what calls hand on to each other.
		h.serve(r.Context(), &ofrepCall{handler: h, w: w, r: r})
		return
	}
	c := h.calls.Get().(*ofrepCall)
	defer h.release(c)
	c.w, c.r = w, r
	h.serve(r.Context(), c)
}

func (h *ofrepHandler) serve(ctx context.Context, c *ofrepCall) {
	r := c.r
	if h.limit != nil {
		if wait := h.limit.take(r.RemoteAddr, time.Now()); wait > 0 {
			c.tooMany(wait)
			return
		}
	}
	route, key := ofrepRouteOf(r.URL.Path)
	if route == nil || route.admits == nobody {
		c.fail(http.StatusNotFound, "", "there is nothing at this path: want "+ofrepFlagsPath+", "+ofrepFlagsPath+"/KEY or "+ofrepSSEPath)
		return
	}
	if c.method(route.method) {
		c.key = key
		route.serve(h, ctx, c)
	}
}

// single answers one flag.
func (h *ofrepHandler) single(_ context.Context, c *ofrepCall) {
	env, snap, right, ok := h.begin(c)
	if !ok {
		return
	}
	h.evaluation.here(&c.subject, time.Now())
	if !c.context() {
		return
	}
	r := right.Shown(c.key, snap.Eval().Evaluate(c.key, &c.subject))
	env.answers.add(string(r.Reason))
	env.exposed(&r, &c.subject)
	c.out = env.appendAnswer(c.out, c.key, r)
	c.write(statusOf(r.ErrorCode))
}

// bulk answers all flags, or says that the caller has the answers.
func (h *ofrepHandler) bulk(ctx context.Context, c *ofrepCall) {
	env, snap, right, ok := h.begin(c)
	if !ok {
		return
	}
	h.evaluation.here(&c.subject, time.Now())
	tag := env.tagOf(snap, right, &c.subject, c.body) // of the body before it is read: that modifies it
	if !c.context() {
		return
	}
	if tag != "" {
		c.w.Header()["Etag"] = []string{tag}
		if matchesTag(c.r.Header["If-None-Match"], tag) {
			env.sampleAll(snap, right, &c.subject)
			c.head(http.StatusNotModified)
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	var counted reasonTally
	sampled := env.sampledAll(snap, right, "", &c.subject)
	answered := 0
	c.out = append(c.out, `{"flags":[`...)
	for i, f := range snap.Eval().Flags() {
		if i%checkEvery == 0 && ctx.Err() != nil {
			delete(c.w.Header(), "Etag")
			c.fail(http.StatusServiceUnavailable, "", "no answer within "+bulkTimeout.String()+": want a smaller context")
			return
		}
		if !right.Sees(f) {
			continue
		}
		if answered++; answered > 1 {
			c.out = append(c.out, ',')
		}
		r := right.Shown(f.Key(), snap.Eval().EvaluateFlag(f, &c.subject))
		counted.add(string(r.Reason))
		env.counted(&r, &c.subject)
		sampled.Saw(r.Flag, &c.subject)
		c.out = env.appendAnswer(c.out, f.Key(), r)
	}
	sampled.Noted()
	env.answers.addAll(&counted)
	c.out = append(c.out, `],"metadata":`...)
	c.out = append(c.out, env.metadataJSON...)
	c.out = append(c.out, `,"eventStreams":[{"type":"sse","endpoint":{"requestUri":`...)
	c.out = jsondoc.AppendString(c.out, env.eventsFor(c.visitor))
	c.out = append(c.out, `}}]}`...)
	c.write(http.StatusOK)
}

// begin reads the body, and finds the environment, which has a snapshot, and what the caller may
// hear of it. Without ok, everything is answered.
func (h *ofrepHandler) begin(c *ofrepCall) (env *environment, snap *snapshot.Snapshot, right *accesskey.Right, ok bool) {
	if !c.isJSON() || !c.read() {
		return nil, nil, nil, false
	}
	env, err := h.evaluation.choose(c.r.Header["Tidegate-Environment"], c.r.Header["Flagd-Selector"], "")
	if err == nil {
		snap, err = env.snapshot()
	}
	if err == nil {
		who := credential{values: c.r.Header["Authorization"]}
		right, err = who.right(env, snap, time.Now())
		c.visitor = who.visitor
	}
	if err != nil {
		c.failCall(err)
		return nil, nil, nil, false
	}
	return env, snap, right, true
}

// statusOf is the HTTP status of an answer.
func statusOf(code eval.ErrorCode) int {
	switch code {
	case "":
		return http.StatusOK
	case eval.FlagNotFound:
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// ofrepCall is one request, and what it takes to answer it.
type ofrepCall struct {
	handler   *ofrepHandler
	w         http.ResponseWriter
	r         *http.Request
	key       string // of the flag asked for; empty: of all
	visitor   *accesskey.Visitor
	body, out []byte
	doc       jsondoc.Document
	subject   eval.Context
}

// What calls keep for the next ones is bounded.
const (
	keptBytes = 1 << 20
	keptNodes = 16 << 10
)

func (h *ofrepHandler) release(c *ofrepCall) {
	if cap(c.body) > keptBytes || cap(c.out) > keptBytes || c.doc.Cap() > keptNodes {
		return
	}
	c.doc.Reset()
	c.w, c.r, c.key, c.visitor, c.subject = nil, nil, "", nil, eval.Context{}
	c.body, c.out = c.body[:0], c.out[:0]
	h.calls.Put(c)
}

// method requires one.
func (c *ofrepCall) method(want string) bool {
	if c.r.Method == want {
		return true
	}
	c.w.Header().Set("Allow", want)
	c.fail(http.StatusMethodNotAllowed, "", "want the method "+want)
	return false
}

// isJSON requires JSON, unless the caller does not say what it sends.
func (c *ofrepCall) isJSON() bool {
	given := c.r.Header["Content-Type"]
	if len(given) == 0 || given[0] == "" {
		return true
	}
	media, _, _ := strings.Cut(given[0], ";")
	if media = strings.TrimSpace(media); strings.EqualFold(media, "application/json") {
		return true
	}
	c.fail(http.StatusUnsupportedMediaType, "", "want Content-Type: application/json")
	return false
}

// read reads the body.
func (c *ofrepCall) read() bool {
	if c.r.ContentLength > maxOFREPBody {
		return c.tooLarge()
	}
	// A writer that cannot set a deadline is one of a test or of a middleware.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(ofrepBodyTimeout))
	// One more byte finds the end. What is announced may never come.
	if want := min(int(c.r.ContentLength)+1, firstBytes); cap(c.body) < want {
		c.body = make([]byte, 0, max(want, 512))
	}
	for {
		if len(c.body) == cap(c.body) {
			c.body = append(c.body, 0)[:len(c.body)]
		}
		n, err := c.r.Body.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		switch {
		case len(c.body) > maxOFREPBody:
			return c.tooLarge()
		case err == nil:
		case isEOF(err):
			return true
		case errors.Is(err, os.ErrDeadlineExceeded):
			return c.fail(http.StatusRequestTimeout, "", "the body did not arrive in time")
		default:
			return c.fail(http.StatusBadRequest, "", "the body did not arrive whole")
		}
	}
}

func (c *ofrepCall) tooLarge() bool {
	return c.fail(http.StatusRequestEntityTooLarge, "", "the body is too large: want at most 1000000 bytes")
}

// context reads the body into the engine's context.
func (c *ofrepCall) context() bool {
	if len(c.body) == 0 {
		return true
	}
	if err := c.doc.Parse(c.body); err != nil {
		return c.invalidContext(err.Error())
	}
	given := c.doc.Root()
	switch given.Kind() {
	case jsondoc.Null:
		return true
	case jsondoc.Object:
		given = given.Member("context")
	default:
		return c.invalidContext(`want an object, such as {"context":{"targetingKey":"user-1"}}`)
	}
	if given == nil || given.Kind() == jsondoc.Null {
		return true
	}
	if given.Kind() != jsondoc.Object {
		return c.invalidContext("want 'context' to be an object")
	}
	switch key := given.Member(targetingKeyAttribute); {
	case key == nil || key.Kind() == jsondoc.Null:
	case key.Kind() == jsondoc.String:
		c.subject.TargetingKey = key.Text()
	default:
		return c.invalidContext("want 'targetingKey' to be a string")
	}
	c.subject.Attributes = given
	return true
}

func (c *ofrepCall) invalidContext(problem string) bool {
	return c.fail(http.StatusBadRequest, eval.InvalidContext, "Provider context is not valid: "+problem)
}

// failCall answers what went wrong before there was anything to evaluate.
func (c *ofrepCall) failCall(err error) {
	if errors.Is(err, errSelector) {
		c.fail(http.StatusBadRequest, eval.General, err.Error())
		return
	}
	s := status.Convert(err)
	switch {
	case s.Code() == codes.Unauthenticated:
		c.w.Header()["Www-Authenticate"] = []string{"Bearer"}
		c.fail(http.StatusUnauthorized, "", s.Message())
	case s.Code() == codes.PermissionDenied:
		c.fail(http.StatusForbidden, "", s.Message())
	case s.Code() == codes.NotFound && c.key != "":
		c.fail(http.StatusNotFound, eval.FlagNotFound, s.Message())
	case s.Code() == codes.NotFound:
		c.fail(http.StatusBadRequest, eval.General, s.Message()) // bulk evaluation has no 404
	default:
		c.w.Header().Set("Retry-After", "1")
		c.fail(http.StatusServiceUnavailable, "", s.Message())
	}
}

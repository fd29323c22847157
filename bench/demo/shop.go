package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tidegate/tidegate/clientsdk"

	"github.com/tidegate/tidegate/bench/testbed"
)

const (
	// usual is the share of page views that fail, whatever is served.
	usual = 0.02
	// broken is the share that fails of a search whose cache is too small.
	broken = 0.4
	// cache is which share of the users it is large enough for.
	cache = 0.03
)

// shop is a service behind flags: one of its instances, which asks the relay of its region.
type shop struct {
	addr   string
	flags  clientsdk.Client
	server *http.Server
	harm   *harm
}

func openShop(ctx context.Context, relay string, h *harm) (*shop, error) {
	flags, err := clientsdk.NewRemote(relay, testbed.Environment, clientsdk.WithStream()) //nolint:contextcheck // it lives until close
	if err != nil {
		return nil, err
	}
	if err := flags.WaitReady(ctx); err != nil {
		return nil, fmt.Errorf("the shop waits for its relay: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return nil, err
	}
	s := &shop{addr: l.Addr().String(), flags: flags, harm: h}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkout", func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, checkout) })
	mux.HandleFunc("GET /search", func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, search) })
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

// serve is what a team writes: ask the flag, do the one or the other, tell what came of it.
func (s *shop) serve(w http.ResponseWriter, r *http.Request, feature string) {
	user := clientsdk.User(r.URL.Query().Get("user"))
	failing := usual
	if isNew := s.flags.IsEnabled(r.Context(), feature, user); feature == search && s.harm.seen(isNew) {
		failing = broken
	}
	failed := rand.Float64() < failing //nolint:gosec // plays users
	if failed {
		s.flags.TrackEvent(r.Context(), errorMetric(feature), user, true)
		w.WriteHeader(http.StatusInternalServerError)
	}
	if failing == broken {
		s.harm.failed(failed)
	}
	fmt.Fprintln(w, feature)
}

func (s *shop) close() {
	_ = s.server.Close()
	_ = s.flags.Close()
}

// harm is what the new search does: it fails while more users get it than its cache is large
// enough for. It writes down what became of them.
type harm struct {
	start time.Time

	mu          sync.Mutex
	second      int64
	new, all    int // in this second
	overloaded  bool
	broke, last time.Time
	failures    int
	treated     int
}

func newHarm() *harm { return &harm{start: time.Now()} }

// seen notes who is served what, and tells whether that fails.
func (h *harm) seen(isNew bool) bool {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := now.Unix(); s != h.second {
		h.overloaded = h.overloaded || float64(h.new) > cache*float64(h.all) && h.all > 50
		h.second, h.new, h.all = s, 0, 0
	}
	h.all++
	if !isNew {
		return false
	}
	h.new++
	if !h.broke.IsZero() {
		h.last = now
		h.treated++
	}
	return h.overloaded
}

// failed notes an answer of the broken search.
func (h *harm) failed(is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !is {
		return
	}
	h.failures++
	if h.broke.IsZero() {
		h.broke = time.Now()
		h.last, h.treated = h.broke, 1
	}
}

func (h *harm) figures() (broke, last time.Time, failures, treated int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.broke, h.last, h.failures, h.treated
}

// clock is a time as minutes and seconds since the start.
func (h *harm) clock(at time.Time) string { return clock(at.Sub(h.start)) }

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%04.1f", int(d.Minutes()), (d % time.Minute).Seconds())
}

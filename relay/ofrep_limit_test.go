package relay

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAddressLimit(t *testing.T) {
	t.Parallel()
	l := newAddressLimit(2)
	now := time.Unix(1000, 0)
	take := func(address string, after time.Duration) bool {
		t.Helper()
		now = now.Add(after)
		wait := l.take(address, now)
		if wait < 0 || wait > time.Second {
			t.Fatalf("wait %v", wait)
		}
		return wait == 0
	}
	for i, c := range []struct {
		address string
		after   time.Duration
		want    bool
	}{
		{"192.0.2.1:1", 0, true},
		{"192.0.2.1:2", 0, true}, // another port, the same client
		{"192.0.2.1:3", 0, false},
		{"[::ffff:192.0.2.1]:4", 0, false}, // the same address
		{"192.0.2.2:1", 0, true},
		{"192.0.2.1:1", 500 * time.Millisecond, true},
		{"192.0.2.1:1", 0, false}, // what was refused does not count
		{"[2001:db8::1]:1", 0, true},
		{"[2001:db8::2]:1", 0, true}, // the same network
		{"[2001:db8::3%eth0]:1", 0, false},
		{"[2001:db8:0:1::1]:1", 0, true},
		{"nonsense", 0, true},
		{"192.0.2.1:1", time.Hour, true},
		{"192.0.2.1:1", 0, true},
		{"192.0.2.1:1", 0, false},
	} {
		if got := take(c.address, c.after); got != c.want {
			t.Errorf("%d. %s: %v, want %v", i, c.address, got, c.want)
		}
	}
}

// Requests take their times before they get here, and overtake each other.
func TestAddressLimitOutOfOrder(t *testing.T) {
	t.Parallel()
	l := newAddressLimit(100)
	now, allowed := time.Unix(1000, 0), 0
	for i := range 10_000 {
		at := now
		if i%2 == 1 {
			at = now.Add(-20 * time.Millisecond)
		}
		if l.take("192.0.2.1:1", at) == 0 {
			allowed++
		}
	}
	if allowed != 100 {
		t.Errorf("%d requests at one moment, want 100", allowed)
	}
}

// However many addresses come, those remembered are bounded, and a client that comes
// back in time is.
func TestAddressLimitBounded(t *testing.T) {
	t.Parallel()
	l := newAddressLimit(1)
	now := time.Unix(1000, 0)
	l.take("192.0.2.1:1", now)
	for i := range maxLimited + 10 {
		l.take(fmt.Sprintf("[2001:db8:%x:%x::]:1", i>>16, i&0xffff), now)
	}
	if n := len(l.recent) + len(l.older); n > 2*maxLimited {
		t.Errorf("%d addresses are remembered", n)
	}
	if l.take("192.0.2.1:1", now) == 0 {
		t.Error("the client was forgotten at once")
	}
}

func TestOFREPTooMany(t *testing.T) {
	t.Parallel()
	h := newOFREPHandler(service(newPublisher(t, production)), 1)
	for i, want := range []int{http.StatusOK, http.StatusTooManyRequests, http.StatusTooManyRequests} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, ofrepFlagsPath, strings.NewReader("{}")))
		if w.Code != want {
			t.Errorf("%d. status %d, want %d", i, w.Code, want)
		}
		after, err := strconv.Atoi(w.Header().Get("Retry-After"))
		if want != http.StatusOK && (err != nil || after != 1 || !strings.Contains(w.Body.String(), `{"errorDetails":"too many requests`)) {
			t.Errorf("%d. Retry-After %q, body %s", i, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

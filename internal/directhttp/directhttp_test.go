package directhttp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "/v1/flags/"

var headers = []string{"Content-Type", "Flagd-Selector"}

// tell answers what it sees of a request.
func tell(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if r.URL.Path == prefix+"panic" {
		panic("as asked")
	}
	w.Header().Set("X-Seen", r.Header.Get("Content-Type"))
	w.Header().Set("Content-Type", "text/plain")
	if r.URL.Path == prefix+"teapot" {
		w.WriteHeader(http.StatusTeapot)
	}
	fmt.Fprintf(w, "%s %s %s %v %q %d %q %v", r.Method, r.URL.Path, r.Host, r.Header["Content-Type"], r.Header["Flagd-Selector"], r.ContentLength, body, err)
}

// serve starts an HTTP server, behind a Listener or not.
func serve(t *testing.T, direct bool) (addr string, handed *atomic.Int64, shutdown func()) {
	t.Helper()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handed = new(atomic.Int64)
	server := &http.Server{Handler: http.HandlerFunc(tell), ReadHeaderTimeout: time.Minute, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			handed.Add(1)
		}
	}}
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	server.Protocols = &p
	l := inner
	if direct {
		l = Listen(inner, Options{Prefix: prefix, Headers: headers, Handler: http.HandlerFunc(tell), Logger: zerolog.Nop()})
	}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	ended := false
	shutdown = func() {
		if ended {
			return
		}
		ended = true
		if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
	t.Cleanup(shutdown)
	return inner.Addr().String(), handed, shutdown
}

// exchange writes the pieces, and reads as many answers as asked for.
func exchange(t *testing.T, addr string, pieces []string, answers int) []string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if _, err := io.WriteString(conn, piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var got []string
	in := bufio.NewReader(conn)
	for range answers {
		a, err := readAnswer(in)
		if err != nil {
			return append(got, fmt.Sprint("no answer: ", err))
		}
		got = append(got, fmt.Sprint(a.status, a.header["Content-Type"], a.header["X-Seen"], a.last, a.header["Date"] != nil, a.body))
	}
	return got
}

// told is an answer as it came over the wire.
type told struct {
	status, body string
	header       http.Header
	last         bool // the connection ends
}

func readAnswer(in *bufio.Reader) (told, error) {
	r, err := http.ReadResponse(in, nil)
	if err != nil {
		return told{}, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return told{r.Status, string(b), r.Header, r.Close}, err
}

func post(path string, lines ...string) string {
	head := "POST " + path + " HTTP/1.1\r\nHost: a.example:8016\r\n"
	body := lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		head += line + "\r\n"
	}
	return head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// What is answered here is answered as net/http answers it, and what is not is net/http's.
func TestAsNetHTTP(t *testing.T) {
	direct, handed, _ := serve(t, true)
	plain, _, _ := serve(t, false)
	simple := post(prefix+"a-b.c_d~1", "Content-Type: application/json", "User-Agent: x", "Accept: */*", `{"a":1}`)
	var bytewise []string
	for i := range simple {
		bytewise = append(bytewise, simple[i:i+1])
	}
	for _, c := range []struct {
		name    string
		pieces  []string
		answers int
		handed  bool
	}{
		{"simple", []string{simple}, 1, false},
		{"one byte at a time", bytewise, 1, false},
		{"one after the other", []string{simple, simple}, 2, false},
		{"pipelined, the last in two pieces", []string{simple + post(prefix+"b", "") + simple[:30], simple[30:]}, 3, false},
		{"another answer", []string{post(prefix+"teapot", "x")}, 1, false},
		{"a header for the handler", []string{post(prefix+"a", "flagd-SELECTOR:  flagSetId=x\t", "")}, 1, false},
		{"keep-alive", []string{post(prefix+"a", "Connection: keep-alive", "")}, 1, false},
		{"a large body", []string{post(prefix+"a", strings.Repeat("x", maxBody))}, 1, false},
		{"a larger body", []string{post(prefix+"a", strings.Repeat("x", maxBody+1))}, 1, true},
		{"close", []string{post(prefix+"a", "Connection: close", "")}, 1, true},
		{"another path", []string{post("/v1/flags", "")}, 1, true},
		{"no name", []string{post(prefix, "")}, 1, true},
		{"an encoded name", []string{post(prefix+"a%2Fb", "")}, 1, true},
		{"a query", []string{post(prefix+"a?b=c", "")}, 1, true},
		{"another method", []string{"GET " + prefix + "a HTTP/1.1\r\nHost: a\r\n\r\n"}, 1, true},
		{"HTTP/1.0", []string{"POST " + prefix + "a HTTP/1.0\r\nHost: a\r\nContent-Length: 0\r\n\r\n"}, 1, true},
		{"no host", []string{"POST " + prefix + "a HTTP/1.1\r\nContent-Length: 0\r\n\r\n"}, 1, true},
		{"no length", []string{"POST " + prefix + "a HTTP/1.1\r\nHost: a\r\n\r\n"}, 1, true},
		{"two lengths", []string{post(prefix+"a", "Content-Length: 1", "")}, 1, true},
		{"a wrong length", []string{"POST " + prefix + "a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx"}, 1, true},
		{"chunked", []string{"POST " + prefix + "a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"}, 1, true},
		{"chunked, and a length", []string{post(prefix+"a", "Transfer-Encoding: chunked", "")}, 1, true},
		{"an origin", []string{post(prefix+"a", "Origin: https://b.example", "")}, 1, true},
		{"a header twice", []string{post(prefix+"a", "Flagd-Selector: a", "Flagd-Selector: b", "")}, 1, true},
		{"a folded header", []string{post(prefix+"a", "Flagd-Selector: a", " b", "")}, 1, true},
		{"a space before the colon", []string{post(prefix+"a", "Flagd-Selector : a", "")}, 1, true},
		{"a control character", []string{post(prefix+"a", "X: a\x01b", "")}, 1, true},
		{"bare newlines", []string{"POST " + prefix + "a HTTP/1.1\nHost: a\nContent-Length: 0\n\n"}, 1, true},
		{"too many headers", []string{post(prefix+"a", append(strings.Split(strings.Repeat("X: y,", 70)+"X: z", ","), "")...)}, 1, true},
		{"a long head", []string{post(prefix+"a", "X: "+strings.Repeat("y", maxHead), "")}, 1, true},
		{"garbage", []string{"\x16\x03\x01\r\n\r\n"}, 1, true},
		{"simple, then another path, then simple", []string{simple, post("/v1/other", "") + simple}, 3, true},
	} {
		before := handed.Load()
		got, want := exchange(t, direct, c.pieces, c.answers), exchange(t, plain, c.pieces, c.answers)
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if on := handed.Load() > before; on != c.handed {
			t.Errorf("%s: handed on: %v, want %v", c.name, on, c.handed)
		}
	}
}

func TestHTTP2(t *testing.T) {
	addr, _, _ := serve(t, true)
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &p}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Post("http://"+addr+prefix+"a", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || r.ProtoMajor != 2 || !bytes.Contains(body, []byte("POST "+prefix+"a")) {
		t.Errorf("%s %s %v", r.Proto, body, err)
	}
}

// A panic ends its connection, and no other.
func TestPanic(t *testing.T) {
	addr, _, _ := serve(t, true)
	if got := exchange(t, addr, []string{post(prefix+"panic", "")}, 1); !strings.HasPrefix(got[0], "no answer") {
		t.Errorf("%v", got)
	}
	if got := exchange(t, addr, []string{post(prefix+"a", "")}, 1); !strings.HasPrefix(got[0], "200 OK") {
		t.Errorf("%v", got)
	}
}

// A shutdown ends connections that wait, and lets a request that has begun be answered.
func TestShutdown(t *testing.T) {
	addr, _, shutdown := serve(t, true)
	dial := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	request := post(prefix+"a", "x")
	waiting, begun := dial(), dial()
	in := bufio.NewReader(waiting)
	if _, err := io.WriteString(waiting, request); err != nil {
		t.Fatal(err)
	}
	if a, err := readAnswer(in); err != nil || a.last {
		t.Fatalf("%+v, %v", a, err)
	}
	// The first answer on this connection shows that the rest of the next request is on its
	// way to be read when the shutdown comes.
	if _, err := io.WriteString(begun, request+request[:20]); err != nil {
		t.Fatal(err)
	}
	rest := bufio.NewReader(begun)
	if _, err := readAnswer(rest); err != nil {
		t.Fatal(err)
	}
	shutdown()
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the waiting connection: %v", err)
	}
	if _, err := io.WriteString(begun, request[20:]); err != nil {
		t.Fatal(err)
	}
	if a, err := readAnswer(rest); err != nil || a.status != "200 OK" || !a.last {
		t.Errorf("the request that had begun: %+v, %v", a, err)
	}
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr); err == nil {
		conn.Close()
		t.Error("a connection after the shutdown")
	}
}

// What is taken for a request here is what net/http takes for the same request.
func FuzzParse(f *testing.F) {
	f.Add([]byte(post(prefix+"a", "Content-Type: application/json", "{}")))
	f.Add([]byte(post(prefix+"a", "Connection: keep-alive", "Flagd-Selector: x", "{}") + "POST"))
	f.Add([]byte("POST " + prefix + "a HTTP/1.1\nHost: a\nContent-Length: 0\n\n"))
	f.Add([]byte(post(prefix+"a", "Content-Length: 2", "{}")))
	o := Options{Prefix: prefix, Headers: headers}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p parsed
		if o.parse(data, &p) != answer {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data[:p.size])))
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(body, p.body) || r.Method != http.MethodPost || r.URL.Path != string(p.path) ||
			r.Host != string(p.host) || r.ProtoMinor != 1 || r.Close || len(r.TransferEncoding) > 0 || r.Header["Expect"] != nil || r.Header["Origin"] != nil {
			t.Fatalf("%+v, body %q, %v; here %+v", r, body, err, p)
		}
		for i, name := range headers {
			got, want := p.headers[i], r.Header[name]
			if (got == nil) != (want == nil) || want != nil && (len(want) != 1 || want[0] != string(got)) {
				t.Fatalf("%s is %q here, %q there", name, got, want)
			}
		}
	})
}

// A connection on which a part of the next request has always come lives on: each request
// has its own time to arrive.
func TestNeverIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		l := Listen(nil, Options{Prefix: prefix, Headers: headers, Handler: http.HandlerFunc(tell), Logger: zerolog.Nop()})
		done := make(chan bool)
		go func() { done <- newConn(l, server).run() }()
		request, in := post(prefix+"a", "x"), bufio.NewReader(client)
		if _, err := io.WriteString(client, request[:10]); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); time.Since(begun) < 2*idle; {
			time.Sleep(arrival / 2)
			if _, err := io.WriteString(client, request[10:]+request[:10]); err != nil {
				t.Fatal(err)
			}
			if a, err := readAnswer(in); err != nil || a.status != "200 OK" {
				t.Fatalf("after %v: %+v, %v", time.Since(begun), a, err)
			}
		}
		_ = client.Close()
		<-done
	})
}

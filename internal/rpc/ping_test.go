package rpc

import (
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// A caller that pings every millisecond, as flagd's provider for Python does, is answered
// and not cut off.
func TestPings(t *testing.T) {
	t.Parallel()
	r := start(t, Options{}, &service{}, ServeOptions{})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.conn.Target())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	f := http2.NewFramer(conn, conn)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	const pings = 20
	go func() {
		for i := range pings {
			if f.WritePing(false, [8]byte{byte(i)}) != nil {
				return // the reader says more
			}
			time.Sleep(time.Millisecond) // what is tested
		}
	}()
	for answered := 0; answered < pings; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("after %d answers: %v", answered, err)
		}
		switch frame := frame.(type) {
		case *http2.PingFrame:
			if frame.IsAck() {
				answered++
			}
		case *http2.GoAwayFrame:
			t.Fatalf("after %d answers: %v, %s", answered, frame, frame.DebugData())
		}
	}
}

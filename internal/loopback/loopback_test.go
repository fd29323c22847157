package loopback

import (
	"net"
	"testing"
)

// TestAddrs: the addresses are different, and free.
func TestAddrs(t *testing.T) {
	addrs, err := Addrs(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatalf("%v: %v", addrs, err)
		}
		defer l.Close()
	}
	if _, err := listen("192.0.2.1", 1); err == nil {
		t.Error("an address that is not ours is given out")
	}
}

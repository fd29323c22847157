package freeport

import (
	"net"
	"testing"
)

// TestAddrs: each address can be listened on, and comes once; one that is taken does not.
func TestAddrs(t *testing.T) {
	seen := map[string]bool{}
	for range 5 {
		addrs, err := Addrs(20)
		if err != nil || len(addrs) != 20 {
			t.Fatalf("%d addresses, %v", len(addrs), err)
		}
		for _, addr := range addrs {
			if seen[addr] {
				t.Errorf("%s twice", addr)
			}
			seen[addr] = true
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Errorf("%s: %v", addr, err)
				continue
			}
			defer l.Close()
		}
	}
	// As if the count had come around.
	next.Add(^uint32(99))
	again, err := Addrs(1)
	if err != nil || seen[again[0]] {
		t.Errorf("%v, %v: somebody listens there", again, err)
	}
}

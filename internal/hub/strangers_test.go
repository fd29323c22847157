package hub

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestStrangersAreForgotten: one that strayed here for a moment is told of for a few minutes, and no
// longer; one that goes on asking is, once.
func TestStrangersAreForgotten(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var l strangers
	once := Stranger{InstanceID: "strayed", Environment: "production", Epoch: snapshot.Epoch{Counter: 1, Random: 9}}
	again := Stranger{InstanceID: "lasting", Environment: "production", Epoch: snapshot.Epoch{Counter: 2, Random: 9}}
	l.add(once, now)
	for range 20 {
		l.add(again, now)
		now = now.Add(strangerMemory / 10)
	}
	if len(l) != 1 || l[0].InstanceID != "lasting" {
		t.Errorf("it has %v", l)
	}
	l.expire(now.Add(strangerMemory))
	if len(l) != 0 {
		t.Errorf("all have gone, and it has %v", l)
	}
}

// TestStrangersAreBounded: followers name themselves, so that they could be any number.
func TestStrangersAreBounded(t *testing.T) {
	var l strangers
	for i := range 10 * maxStrangers {
		l.add(Stranger{InstanceID: fmt.Sprintf("relay-%d", i)}, time.Unix(int64(i/1000), 0))
	}
	if last := l[len(l)-1].InstanceID; len(l) != maxStrangers || last != fmt.Sprintf("relay-%d", 10*maxStrangers-1) {
		t.Errorf("it has %d, up to %s", len(l), last)
	}
	if text := NameStrangers(l); !strings.HasSuffix(text, fmt.Sprintf(", and %d more", maxStrangers-3)) || len(text) > 300 {
		t.Error(text)
	}
}

package otlp

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/tidegate/tidegate/internal/tally"
)

// from is a request of a source.
func from(source string, value int64, at uint64) *collectorv1.ExportMetricsServiceRequest {
	q := request(sumOf(cumulative, value, 1, at, of("on")))
	q.ResourceMetrics[0].Resource = &resourcev1.Resource{Attributes: text("service.instance.id", source)}
	return q
}

// Sources beyond those that are remembered are refused, with a word, and leave nothing behind:
// once the others are silent, there is room again.
func TestManySources(t *testing.T) {
	t.Parallel()
	to := &counts{watched: tally.Watched{Happened: true}}
	r, now := NewReader(), time.Unix(1_700_000_000, 0)
	for i := range maxStreams + 5000 {
		result := r.Read(from(fmt.Sprint("source-", i), 5, 10), "host", to, now)
		if over := i >= maxStreams; over != strings.Contains(result.Message, "sources are followed already") {
			t.Fatalf("source %d: %+v", i, result)
		}
	}
	now = now.Add(sourceIdle + time.Second)
	r.Read(from("any", 5, 10), "host", to, now)
	for i, want := range []string{"", ""} {
		if result := r.Read(from("new", int64(10*i), uint64(20+i)), "host", to, now.Add(time.Duration(i)*time.Minute)); result.Message != want {
			t.Errorf("after a while: %+v", result)
		}
	}
	if n := to.total().count; n != 10 {
		t.Errorf("counted %d, want the 10 of the new one", n)
	}
}

// What tells sources apart may be of any size, and takes none.
func TestLargeResources(t *testing.T) {
	to := &counts{watched: tally.Watched{Happened: true}}
	r, now := NewReader(), time.Unix(1_700_000_000, 0)
	large := strings.Repeat("x", 1<<18)
	read := func(i int) { r.Read(from(fmt.Sprint(i, large), 5, 10), "host", to, now) }
	read(0)
	before := heap()
	const sources = 200
	for i := range sources {
		read(i)
	}
	if grown := heap() - before; grown > sources*4096 {
		t.Errorf("%d sources of 256 KiB each take %d bytes", sources, grown)
	}
	runtime.KeepAlive(r)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

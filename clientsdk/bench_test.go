package clientsdk_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/tidegate/tidegate/clientsdk"
)

type namedCall struct {
	name string
	call func()
}

// noAllocCalls are the calls that promise to allocate nothing.
func noAllocCalls(c clientsdk.Client) []namedCall {
	ctx := context.Background()
	canada := clientsdk.User("user-1").With("country", "CA").With("plan", "gold")
	other := clientsdk.User("user-1").With("country", "FR").With("plan", "gold")
	return []namedCall{
		{"Boolean/rule", func() { c.Boolean(ctx, "new-checkout", canada, false) }},
		{"Boolean/split", func() { c.Boolean(ctx, "new-checkout", other, false) }},
		{"Boolean/unknown", func() { c.Boolean(ctx, "none", other, false) }},
		{"Boolean/disabled", func() { c.Boolean(ctx, "disabled", other, false) }},
		{"Boolean/empty", func() { c.Boolean(ctx, "bool", clientsdk.Context{}, false) }},
		{"IsEnabled", func() { c.IsEnabled(ctx, "new-checkout", other) }},
		{"String", func() { c.String(ctx, "string", canada, "") }},
		{"Int", func() { c.Int(ctx, "int", canada, 0) }},
		{"Int/converted", func() { c.Int(ctx, "whole", canada, 0) }},
		{"Float", func() { c.Float(ctx, "float", canada, 0) }},
		{"Float/mismatch", func() { c.Float(ctx, "string", canada, 0) }},
		{"Boolean/hours", func() { c.Boolean(ctx, "hours", canada, false) }},
		{"BooleanDetails", func() { c.BooleanDetails(ctx, "new-checkout", other, false) }},
	}
}

func TestInProcessNoAlloc(t *testing.T) {
	u, _ := newCountingUpstream(t)
	u.roll(1, 5_000) // new-checkout is counted
	u.put(typedFlags()[1:]...)
	for _, region := range []string{"", "eu-west"} {
		c := inProcess(t, u.addr, clientsdk.WithRegion(region))
		// Following allocates now and then, and AllocsPerRun counts the whole process.
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for _, n := range noAllocCalls(c) {
			if allocations := testing.AllocsPerRun(200, n.call); allocations != 0 {
				t.Errorf("%s in region %q: %v allocations", n.name, region, allocations)
			}
		}
	}
}

func BenchmarkInProcess(b *testing.B) {
	u := newUpstream(b)
	u.put(typedFlags()...)
	c := inProcess(b, u.addr)
	for _, n := range noAllocCalls(c) {
		b.Run(n.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n.call()
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		ctx, user := context.Background(), clientsdk.User("user-1").With("country", "FR")
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Boolean(ctx, "new-checkout", user, false)
			}
		})
	})
}

// BenchmarkTelemetry tells what counting adds to an evaluation, of a flag with a rollout and one
// without, and what an observation costs. On and off take turns, and the fastest turn of each
// is reported, so that what else the machine does hits neither.
func BenchmarkTelemetry(b *testing.B) {
	u, _ := newCountingUpstream(b)
	u.roll(1, 5_000)
	u.put(boolean("plain", true))
	ctx := context.Background()
	users := make([]clientsdk.Context, 256)
	for i := range users {
		users[i] = subject(i)
	}
	clients := []clientsdk.Client{inProcess(b, u.addr, clientsdk.WithoutTelemetry()), inProcess(b, u.addr)}
	for _, key := range []string{"new-checkout", "plain"} {
		b.Run(key, func(b *testing.B) {
			fastest := []time.Duration{math.MaxInt64, math.MaxInt64}
			for b.Loop() {
				for i, c := range clients {
					began := time.Now()
					for _, user := range users {
						c.Boolean(ctx, key, user, false)
					}
					fastest[i] = min(fastest[i], time.Since(began))
				}
			}
			off, on := float64(fastest[0])/float64(len(users)), float64(fastest[1])/float64(len(users))
			b.ReportMetric(off, "off-ns/eval")
			b.ReportMetric(on-off, "added-ns/eval")
		})
	}
	c := clients[1]
	for _, metric := range []string{"errors", "unwatched"} {
		b.Run("Track/"+metric, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.TrackEvent(ctx, metric, users[i%len(users)], false)
			}
		})
	}
	f := newFakeRelay(b)
	r := remote(b, f.addr)
	b.Run("Track/remote", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.TrackEvent(ctx, "errors", users[i%len(users)], false)
		}
	})
}

func BenchmarkRemote(b *testing.B) {
	f := newFakeRelay(b, typedFlags()...)
	for _, name := range []string{"unary", "stream"} {
		options := []clientsdk.RemoteOption{clientsdk.WithTimeout(patience)}
		if name == "stream" {
			options = append(options, clientsdk.WithStream())
		}
		c := remote(b, f.addr, options...)
		ctx, user := context.Background(), clientsdk.User("user-1").With("country", "CA")
		if d := c.BooleanDetails(ctx, "new-checkout", user, false); !d.Value {
			b.Fatalf("%+v", d)
		}
		b.Run(name+"/one", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Boolean(ctx, "new-checkout", user, false)
			}
		})
		b.Run(name+"/64", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					c.Boolean(ctx, "new-checkout", user, false)
				}
			})
		})
	}
}

func BenchmarkContext(b *testing.B) {
	attributes := map[string]any{"country": "CA", "plan": "gold", "age": 30, "beta": true}
	b.Run("New", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clientsdk.NewContext("user-1", attributes)
		}
	})
	b.Run("With", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clientsdk.User("user-1").With("country", "CA").With("plan", "gold")
		}
	})
}

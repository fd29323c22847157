package spool

import (
	"fmt"
	"testing"

	"github.com/rs/zerolog"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// BenchmarkAppend appends batches of 1 KiB to a real disk, from so many goroutines.
func BenchmarkAppend(b *testing.B) {
	for _, appenders := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(appenders), func(b *testing.B) {
			s, err := Open(Options{InstanceID: relayID, Dir: b.TempDir(), MaxBytes: 64 << 20, Logger: zerolog.Nop()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			e := Entry{Batch: batch(1, 1024), Counted: 1}
			b.SetParallelism(appenders)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Append(e); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkDrain hands out batches of 1 KiB and releases each.
func BenchmarkDrain(b *testing.B) {
	s, err := Open(Options{InstanceID: relayID, Dir: b.TempDir(), MaxBytes: 1 << 30, Logger: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	e := Entry{Batch: batch(1, 1024), Counted: 1}
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Append(e); err != nil {
				b.Error(err)
			}
		}
	})
	b.ResetTimer()
	for range b.N {
		o, err := s.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Release(&telemetryv1.Sender{InstanceId: o.InstanceID, BootId: o.BootID, Sequence: o.Sequence}); err != nil {
			b.Fatal(err)
		}
	}
}

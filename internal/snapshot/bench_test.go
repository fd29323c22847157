package snapshot_test

import (
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/internal/snapshot"
)

func environment(b *testing.B, n int) *snapshot.Snapshot {
	list := make([]snapshot.Item, n)
	for i := range list {
		list[i] = flagItem(b, fmt.Sprintf("flag-%06d", i), 1, "")
	}
	s, _ := snapshot.New("production", epoch).Next(1, list, nil)
	return s
}

func BenchmarkNext(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("one_of_%d", n), func(b *testing.B) {
			s := environment(b, n)
			puts := []snapshot.Item{flagItem(b, "flag-000500", 2, "")}
			b.ReportAllocs()
			for b.Loop() {
				s.Next(2, puts, nil)
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		s := environment(b, n)
		next, d := s.Next(2, []snapshot.Item{flagItem(b, "flag-000500", 2, "")}, nil)
		b.Run(fmt.Sprintf("one_of_%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Apply(d); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("full_of_%d_one_changed", n), func(b *testing.B) {
			full := next.Full()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Apply(full); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("diff_of_%d_one_changed", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				snapshot.Diff(s, next)
			}
		})
	}
}

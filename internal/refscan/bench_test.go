package refscan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/refscan"
)

// BenchmarkScan looks for 1,000 flags in 10,000 files of 10 KiB, warm.
func BenchmarkScan(b *testing.B) {
	const files, flags, lines = 10_000, 1_000, 200
	keys := make([]string, flags)
	for i := range keys {
		keys[i] = fmt.Sprintf("team-%d.feature-%d", i%20, i)
	}
	sources := make(map[string]string, files)
	size := 0
	for i := range files {
		var text strings.Builder
		for line := range lines {
			fmt.Fprintf(&text, "\tvalue%d := compute(argument, \"text %d\") // a comment\n", line, i)
		}
		fmt.Fprintf(&text, "client.BooleanValue(ctx, %q, false)\n", keys[i%flags])
		size += text.Len()
		sources[fmt.Sprintf("pkg%03d/file%d.go", i%100, i)] = text.String()
	}
	root := folder(b, sources)
	for _, c := range []struct {
		name  string
		forms []string
	}{{"keys", nil}, {"aliases", []string{"Flag{pascal}", "flags.{camel}"}}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				r, err := refscan.Scan(b.Context(), root, refscan.Options{Keys: keys, AliasForms: c.forms})
				if err != nil || r.Files != files || len(r.References) != files {
					b.Fatalf("%v: %+v", err, r)
				}
			}
		})
	}
}

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// tables are the rows of what was measured.
type tables struct {
	changes, stalled, reconnects []string
	// floor is what the changes cost the bare server, with the shape that is measured.
	floor *fanout
}

func (t *tables) print(out io.Writer) {
	first := true
	for _, table := range []struct {
		heads string
		rows  []string
	}{
		{"streams | server | heap and stacks KiB a stream | resident MiB | idle CPU % | CPU us a delivery | without Acks | delivery p50 ms | delivery p99 ms | last p50 ms | last p99 ms | CPU to the floor | last p50 to the floor | lost streams", t.changes},
		{"streams | server | stalled connections | delivery p50 ms | delivery p99 ms | last p50 ms | last p99 ms | peak resident MiB | lost streams", t.stalled},
		{"event | streams | server | half in sync s | all in sync s | resident MiB | peak MiB | ended and refused streams", t.reconnects},
	} {
		if len(table.rows) == 0 {
			continue
		}
		if !first {
			fmt.Fprintln(out)
		}
		first = false
		fmt.Fprintf(out, "| %s |\n|%s\n", table.heads, strings.Repeat("---|", 1+strings.Count(table.heads, "|")))
		for _, r := range table.rows {
			fmt.Fprintln(out, r)
		}
	}
}

func row(cells ...any) string {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = fmt.Sprint(c)
	}
	return "| " + strings.Join(texts, " | ") + " |"
}

// reasons lists what ended streams, how many each.
func reasons(ends map[string]int) string {
	texts := make([]string, 0, len(ends))
	for _, why := range slices.Sorted(maps.Keys(ends)) {
		texts = append(texts, fmt.Sprintf("%d %s", ends[why], why))
	}
	return strings.Join(texts, ", ")
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func mib(bytes int64) string { return fmt.Sprintf("%.0f", float64(bytes)/(1<<20)) }

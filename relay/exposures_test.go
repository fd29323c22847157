package relay

import (
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/spool"
)

// What no durable batch tells of is undeclared, whichever of the two that keep it knows more;
// and a count that the machine has lost with its power is no less than what was told.
func TestExposuresUndeclared(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ count, marked, told, want uint64 }{
		"nothing was counted":         {},
		"nothing was told":            {count: 7, want: 7},
		"killed before it was noted":  {count: 10, marked: 8, told: 5, want: 2},
		"the mark is forgotten":       {count: 10, told: 9, want: 1},
		"all is told":                 {count: 10, marked: 10, told: 10},
		"the count lost power":        {count: 3, marked: 10, told: 8},
		"the count and what was told": {count: 3, marked: 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := spool.Open(spool.Options{InstanceID: "relay"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			path := filepath.Join(t.TempDir(), exposuresFile)
			before := openExposures(path, zerolog.Nop())
			before.file.Add(0, c.count)
			before.told(c.told)
			if _, err := s.Append(spool.Entry{Batch: &telemetryv1.Batch{Environment: production}, Marks: before.mark(c.marked)}); err != nil {
				t.Fatal(err)
			}
			e := openExposures(path, zerolog.Nop())
			if n := e.undeclared(s); n != c.want {
				t.Errorf("%d are undeclared, want %d", n, c.want)
			}
			e.file.Add(1, 4)
			e.told(4)
			if n := openExposures(path, zerolog.Nop()).undeclared(s); n != 0 {
				t.Errorf("after they were told, and four more, %d are undeclared", n)
			}
		})
	}
}

package relay

import (
	"github.com/rs/zerolog"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/counterfile"
	"github.com/tidegate/tidegate/internal/spool"
)

// exposuresFile is in the state directory.
const exposuresFile = "exposures"

// exposures counts what this relay serves, over all of its boots. Nobody tells an exposure
// again, as callers do what they observe: one that is not spooled when the process is killed is
// lost. The count outlives the process, and so the next one can declare how many that were: all
// of which no durable batch tells.
type exposures struct {
	file *counterfile.File // nil: nobody would know after the process
	// before is how much of the count earlier processes have told.
	before uint64
}

// openExposures opens the count.
func openExposures(path string, logger zerolog.Logger) *exposures {
	file, err := counterfile.Open(path)
	if err != nil {
		logger.Error().Err(err).Msg("exposures that are not on disk yet when the process is killed will be lost undeclared")
		return &exposures{}
	}
	return &exposures{file: file}
}

// undeclared is what earlier processes counted, and did not tell.
func (e *exposures) undeclared(s *spool.Spool) (n uint64) {
	if e.file == nil {
		return 0
	}
	told, sum := max(s.Mark("", e.file.ID()), e.file.Told()), e.file.Sum()
	if sum < told { // the machine has lost power
		e.file.Add(0, told-sum)
		sum = told
	}
	e.before = sum
	return sum - told
}

// mark is what makes the count up to n told once a batch is durable. Senders have an instance
// id: it is nobody's.
func (e *exposures) mark(n uint64) []*telemetryv1.Sender {
	if e.file == nil {
		return nil
	}
	return []*telemetryv1.Sender{{BootId: e.file.ID(), Sequence: e.before + n}}
}

// told notes the same beside, as marks are forgotten after a while, and as what is not durable
// may have been sent all the same.
func (e *exposures) told(n uint64) {
	if e.file != nil {
		e.file.SetTold(e.before + n)
	}
}

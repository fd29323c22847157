package telemetry

import (
	"maps"

	"github.com/rs/zerolog"
)

// Reasons why something is lost. A Reporter adds those of its tally.
const (
	// LostDropped: the queue was full, and it was the oldest.
	LostDropped = "dropped"
	// LostRefused: it made no sense, here or to the relay.
	LostRefused = "refused"
	// LostUnconfirmed: a relay that may have counted it, or not, went away.
	LostUnconfirmed = "unconfirmed"
	// LostUnsent: the client was closed.
	LostUnsent = "unsent"
)

// Stats is what became of everything: Emitted = Acknowledged + the sum of Lost + Pending.
type Stats struct {
	Emitted, Acknowledged, Pending uint64
	// Lost is by reason; the caller's own.
	Lost map[string]uint64
	// Err is why the last attempt to deliver failed; nil: it did not.
	Err error
	// Refusal is what was wrong with what was refused last; empty: nothing was.
	Refusal string
}

// account is what a sender knows of what it sends.
type account struct {
	acknowledged uint64
	lost         map[string]uint64
	err          error
	refusal      string
}

func (a *account) lose(reason string, n uint64) {
	if n == 0 {
		return
	}
	if a.lost == nil {
		a.lost = map[string]uint64{}
	}
	a.lost[reason] += n
}

func (a *account) stats() Stats {
	s := Stats{Acknowledged: a.acknowledged, Lost: maps.Clone(a.lost), Err: a.err, Refusal: a.refusal}
	if s.Lost == nil {
		s.Lost = map[string]uint64{}
	}
	s.Emitted = s.Acknowledged
	for _, n := range s.Lost {
		s.Emitted += n
	}
	return s
}

// tell keeps why an attempt failed, nil if it did not, and logs what is news.
func (a *account) tell(logger zerolog.Logger, err error) {
	switch {
	case err != nil && a.err == nil:
		logger.Warn().Err(err).Msg("telemetry cannot be delivered: trying again")
	case err == nil && a.err != nil:
		logger.Info().Msg("telemetry is delivered again")
	}
	a.err = err
}

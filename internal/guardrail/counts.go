package guardrail

import "fmt"

// MaxCount bounds a count: up to here a float64 holds every integer.
const MaxCount = 1 << 53

// Direction says which change of a metric is harm.
type Direction uint8

const (
	// Increase says that more of it is worse (errors, latency).
	Increase Direction = iota
	// Decrease says that less of it is worse (sign-ups, accuracy).
	Decrease
)

func (d Direction) validate() error {
	if d > Decrease {
		return badOption("Direction", uint8(d), "Increase or Decrease")
	}
	return nil
}

// Counts are what one stratum saw: a window of a stage, in which both arms lived under the
// same conditions. An exposure is a unit (a user, a request) that had the variant; an
// event is such a unit with the outcome that is counted. Each exposure has at most one
// event: of a user's many errors the first counts, or a few users decide everything.
type Counts struct {
	EventsT, EventsC       int64 // treatment (new), control (old)
	ExposuresT, ExposuresC int64
}

// Complement counts the exposures without the event. A fall of a rate near 1 (success) is
// best watched as a rise of its complement (failure): a ratio of rare events has power
// where a ratio of common ones has next to none.
func (c Counts) Complement() Counts {
	c.EventsT, c.EventsC = c.ExposuresT-c.EventsT, c.ExposuresC-c.EventsC
	return c
}

// Validate returns an ErrCounts if there are negative counts, more than MaxCount, or more
// events than exposures.
func (c Counts) Validate() error {
	switch {
	case c.EventsT < 0 || c.EventsT > c.ExposuresT || c.ExposuresT > MaxCount:
		return badCounts("treatment", c.EventsT, c.ExposuresT)
	case c.EventsC < 0 || c.EventsC > c.ExposuresC || c.ExposuresC > MaxCount:
		return badCounts("control", c.EventsC, c.ExposuresC)
	}
	return nil
}

func badCounts(arm string, events, exposures int64) error {
	return fmt.Errorf("%w: %s has %d events of %d exposures: it must be 0 ≤ events ≤ exposures ≤ %d",
		ErrCounts, arm, events, exposures, int64(MaxCount))
}

// swap exchanges the arms: a fall in treatment is a rise in control.
func (c Counts) swap() Counts {
	return Counts{EventsT: c.EventsC, EventsC: c.EventsT, ExposuresT: c.ExposuresC, ExposuresC: c.ExposuresT}
}

package guardrail

import (
	"errors"
	"fmt"
	"math"
)

// An input that breaks a promise is refused with one of these, and leaves the state as it
// was.
var (
	// ErrOptions: a parameter is out of its range.
	ErrOptions = errors.New("guardrail: bad options")
	// ErrCounts: counts that cannot be, such as more events than exposures.
	ErrCounts = errors.New("guardrail: bad counts")
	// ErrSample: sums that no sample has, such as a negative sum of squares.
	ErrSample = errors.New("guardrail: bad sample")
)

func badOption(name string, got any, want string) error {
	return fmt.Errorf("%w: %s is %v: it must be %s", ErrOptions, name, got, want)
}

// positive says whether x is a finite number above 0.
func positive(x float64) bool { return x > 0 && !math.IsInf(x, 1) }

func checkAlpha(alpha float64) error {
	if !(alpha > 0 && alpha < 1) {
		return badOption("alpha", alpha, "between 0 and 1")
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

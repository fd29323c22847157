package rollout

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Word is a value of an enum as people write it.
type Word[E ~int32] struct {
	Name  string
	Value E
}

// Strategies are the names of the presets.
func Strategies() []Word[rolloutv1.Strategy] {
	return []Word[rolloutv1.Strategy]{
		{"canary", rolloutv1.Strategy_STRATEGY_CANARY},
		{"blue-green", rolloutv1.Strategy_STRATEGY_BLUE_GREEN},
		{"experiment", rolloutv1.Strategy_STRATEGY_EXPERIMENT},
		{"fixed", rolloutv1.Strategy_STRATEGY_FIXED},
	}
}

// Units are the names of what is counted.
func Units() []Word[rolloutv1.Unit] {
	return []Word[rolloutv1.Unit]{
		{"subject", rolloutv1.Unit_UNIT_SUBJECT},
		{"request", rolloutv1.Unit_UNIT_REQUEST},
	}
}

// ParseWord finds the value that a text names.
func ParseWord[E ~int32](text string, words []Word[E]) (E, error) {
	names := make([]string, 0, len(words))
	for _, w := range words {
		if w.Name == text {
			return w.Value, nil
		}
		names = append(names, w.Name)
	}
	return 0, fmt.Errorf("%q is unknown: expected one of %s", shortened(text), strings.Join(names, ", "))
}

// EValue writes an e-value, of which the natural logarithm is given, such as '250' or '10^27'.
func EValue(log float64) string {
	switch e := math.Exp(log); {
	case log > 14:
		return fmt.Sprintf("10^%.0f", log/math.Ln10)
	case e >= 10:
		return strconv.FormatFloat(e, 'f', 0, 64)
	default:
		return strconv.FormatFloat(e, 'g', 2, 64)
	}
}

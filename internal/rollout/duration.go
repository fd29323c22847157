package rollout

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration as people write it: as Go does ('90s', '1m30s', '100ms'), or
// in days ('2d').
func ParseDuration(text string) (time.Duration, error) {
	problem := fmt.Errorf("%q is not a duration: write it such as 100ms, 30s, 5m, 2h or 7d", shortened(text))
	if days, ok := strings.CutSuffix(text, "d"); ok {
		const most = 100 * 365
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > most {
			return 0, problem
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-") {
		return 0, problem
	}
	return d, nil
}

// FormatDuration writes what ParseDuration reads, without zeros at the end: '5m', not '5m0s'.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// ParseProbability reads a probability such as '1%', or '0.01'.
func ParseProbability(text string) (float64, error) {
	number, isPercent := strings.CutSuffix(text, "%")
	if !plainNumber.MatchString(number) {
		return 0, fmt.Errorf("%q is not a probability: write it such as 1%% or 0.01", shortened(text))
	}
	if isPercent {
		number += "e-2"
	}
	return mustParse(number), nil
}

// ParseWeight reads a share such as '5%' or '0.25%' as a weight of [TotalWeight]. The % is
// required: '5' could be 5%, or 5 of 10,000.
func ParseWeight(text string) (uint32, error) {
	const longest = 12 // digits enough for 0.01%, with some zeros
	amount, ok := strings.CutSuffix(text, "%")
	if !ok || amount == "" || len(amount) > longest || strings.Trim(amount, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a share: write it in %%, such as 5%% or 0.5%%", shortened(text))
	}
	percent, ok := new(big.Rat).SetString(amount)
	if !ok {
		return 0, fmt.Errorf("%q is not a share: write it in %%, such as 5%% or 0.5%%", shortened(text))
	}
	weight := percent.Mul(percent, big.NewRat(TotalWeight/100, 1))
	switch {
	case !weight.IsInt():
		return 0, fmt.Errorf("%s has too many digits: 0.01%% is the smallest step", text)
	case weight.Cmp(big.NewRat(TotalWeight, 1)) > 0:
		return 0, fmt.Errorf("%s is more than 100%%", text)
	}
	return uint32(weight.Num().Uint64()), nil
}

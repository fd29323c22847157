package main

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// maxTotal is the largest sum of weights in a split.
const maxTotal = 1<<31 - 1

// parseSplit reads 'on=5%,off=95%'. The % is required: 'on=5' looks like 5% and, as a
// weight, would be everyone.
func parseSplit(text string) ([]*flagv1.WeightedVariant, error) {
	var (
		shares   []*flagv1.WeightedVariant
		percents []*big.Rat
		seen     = map[string]bool{}
	)
	for part := range strings.SplitSeq(text, ",") {
		variant, share, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || variant == "" {
			return nil, fmt.Errorf("%q: expected VARIANT=SHARE, as in on=5%%,off=95%%", part)
		}
		if seen[variant] {
			return nil, fmt.Errorf("variant %s is named twice", variant)
		}
		seen[variant] = true
		percent, ok := parsePercent(share)
		if !ok {
			return nil, fmt.Errorf("%s=%s: expected a share in %%, such as 5%% or 0.5%%", variant, share)
		}
		shares = append(shares, &flagv1.WeightedVariant{Variant: variant})
		percents = append(percents, percent)
	}
	return shares, setPercents(shares, percents)
}

// parsePercent reads a number without a sign or an exponent, and its %.
func parsePercent(share string) (*big.Rat, bool) {
	const longest = 20 // far more digits than any weight has
	amount, ok := strings.CutSuffix(share, "%")
	if !ok || len(amount) > longest || strings.Trim(amount, "0123456789.") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(amount)
}

// setPercents makes weights of percentages that add up to 100: of 100 where they are
// whole, else of the power of ten that makes them whole. Which one does not matter to
// an assignment, only their proportion does.
func setPercents(shares []*flagv1.WeightedVariant, percents []*big.Rat) error {
	sum, hundred := new(big.Rat), big.NewRat(100, 1)
	for _, p := range percents {
		sum.Add(sum, p)
	}
	if sum.Cmp(hundred) != 0 {
		return fmt.Errorf("the shares add up to %s%%: they must add up to 100%%", strings.TrimSuffix(strings.TrimRight(sum.FloatString(6), "0"), "."))
	}
	ten := big.NewRat(10, 1)
	for factor, total := big.NewRat(1, 1), int64(100); total <= maxTotal; total *= 10 {
		if scaled(shares, percents, factor) {
			return nil
		}
		factor.Mul(factor, ten)
	}
	return errors.New("the shares have too many digits: 0.00001% is the smallest step")
}

func scaled(shares []*flagv1.WeightedVariant, percents []*big.Rat, factor *big.Rat) bool {
	for i, p := range percents {
		weight := new(big.Rat).Mul(p, factor)
		if !weight.IsInt() {
			return false
		}
		shares[i].Weight = uint32(weight.Num().Uint64())
	}
	return true
}

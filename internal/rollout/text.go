package rollout

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// How people write a guardrail:
//
//	NAME: STATISTIC[(METRIC)] < +MARGIN[, OPTION]...
//	NAME: STATISTIC[(METRIC)] > -MARGIN[, OPTION]...
//
// '<' is of what must not grow, '>' of what must not fall; both compare with the control. The
// metric is the name where it is left out. Statistics and their margins:
//
//	rate, misprediction, false-discovery, miss   +5% relative, +0.5pp
//	mean, p95, p99.9                             +5% relative, +100ms, +12.5 (the metric's unit)
//	f1                                           f1 > 0.8, f1 > 0.8 -0.02 (below the reference)
//	drift                                        drift, drift < 0.1 (PSI)
//
// Options: 'of observations' or 'of exposures' (rate), 'weight 4', 'hold' or 'rollback',
// 'by ATTRIBUTE', 'ratios 5 3 2 1.5'.
//
// A bare '%' is refused: of an error rate of 1%, '+5% relative' allows 1.05%, '+5pp' 6%.
//
// And a success metric:
//
//	STATISTIC(METRIC) rises|falls[, of observations][, alpha 0.05][, relevant 5%][, give up after 14d]

// GuardrailExample is for messages.
const GuardrailExample = "errors: rate < +5% relative"

// SuccessExample is for messages.
const SuccessExample = "rate(purchases) rises"

var statisticWords = []struct {
	word      string
	statistic rolloutv1.Statistic
}{
	{"rate", rolloutv1.Statistic_STATISTIC_RATE},
	{"mean", rolloutv1.Statistic_STATISTIC_MEAN},
	{"misprediction", rolloutv1.Statistic_STATISTIC_MISPREDICTION},
	{"f1", rolloutv1.Statistic_STATISTIC_F1},
	{"false-discovery", rolloutv1.Statistic_STATISTIC_FALSE_DISCOVERY},
	{"miss", rolloutv1.Statistic_STATISTIC_MISS},
	{"drift", rolloutv1.Statistic_STATISTIC_DRIFT},
}

var plainNumber = regexp.MustCompile(`^[0-9]{1,30}(\.[0-9]{1,30})?$`)

// ParseGuardrail reads 'errors: rate < +5% relative' and the like. It finds out what was
// written, not whether it makes sense: that is [Check]'s.
func ParseGuardrail(text string) (*rolloutv1.Guardrail, error) {
	name, spec, ok := strings.Cut(text, ":")
	if !ok {
		return nil, fmt.Errorf("%q: expected NAME: STATISTIC < +MARGIN, such as '%s'", shortened(text), GuardrailExample)
	}
	return ParseGuardrailOf(strings.TrimSpace(name), spec)
}

// ParseGuardrailOf reads what follows the name.
func ParseGuardrailOf(name, spec string) (*rolloutv1.Guardrail, error) {
	g := &rolloutv1.Guardrail{Name: name}
	parts := strings.Split(spec, ",")
	head := strings.TrimSpace(parts[0])
	statistic, bound, relation := head, "", byte(0)
	if i := strings.IndexAny(head, "<>"); i >= 0 {
		statistic, bound, relation = strings.TrimSpace(head[:i]), strings.TrimSpace(head[i+1:]), head[i]
	}
	if err := parseStatistic(g, statistic); err != nil {
		return nil, err
	}
	if g.GetMetric() == "" {
		g.Metric = name
	}
	if err := parseBound(g, relation, bound); err != nil {
		return nil, err
	}
	for _, option := range parts[1:] {
		if err := parseOption(g, strings.Fields(option)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// parseStatistic reads 'rate', 'p99' or 'rate(metric)'.
func parseStatistic(g *rolloutv1.Guardrail, text string) error {
	word, metric, hasMetric := strings.Cut(text, "(")
	word = strings.TrimSpace(word)
	if hasMetric {
		inner, rest, closed := strings.Cut(metric, ")")
		if !closed || strings.TrimSpace(rest) != "" || strings.TrimSpace(inner) == "" {
			return fmt.Errorf("%q: expected STATISTIC(METRIC), such as rate(checkout-errors)", shortened(text))
		}
		g.Metric = strings.TrimSpace(inner)
	}
	for _, s := range statisticWords {
		if s.word == word {
			g.Statistic = s.statistic
			return nil
		}
	}
	if digits, ok := strings.CutPrefix(word, "p"); ok && plainNumber.MatchString(digits) {
		g.Statistic = rolloutv1.Statistic_STATISTIC_QUANTILE
		g.Quantile = mustParse(digits + "e-2")
		return nil
	}
	return fmt.Errorf("%q is not a statistic: expected rate, mean, p99 (or another quantile), misprediction, f1, false-discovery, miss or drift", shortened(word))
}

// mustParse reads what plainNumber accepted; a power of ten after it is rounded only once.
func mustParse(number string) float64 {
	v, err := strconv.ParseFloat(number, 64)
	if err != nil { // at most 30 digits: it cannot be out of range
		return 0
	}
	return v
}

// parseBound reads what follows '<' or '>'.
func parseBound(g *rolloutv1.Guardrail, relation byte, bound string) error {
	switch {
	case g.GetStatistic() == rolloutv1.Statistic_STATISTIC_F1:
		return parseF1(g, relation, bound)
	case g.GetStatistic() == rolloutv1.Statistic_STATISTIC_DRIFT:
		return parseDrift(g, relation, bound)
	case relation == 0:
		return fmt.Errorf("how much worse the treatment may be is missing: write it such as '%s'", GuardrailExample)
	}
	sign := "+"
	g.Worse = rolloutv1.Direction_DIRECTION_INCREASE
	if relation == '>' {
		sign, g.Worse = "-", rolloutv1.Direction_DIRECTION_DECREASE
	}
	amount, ok := strings.CutPrefix(bound, sign)
	if !ok {
		return fmt.Errorf("%q: expected a difference to the control after '%c', with its sign, such as '%c %s5%% relative'", shortened(bound), relation, relation, sign)
	}
	m, err := parseMargin(strings.TrimSpace(amount), sign)
	g.Margin = m
	return err
}

func parseF1(g *rolloutv1.Guardrail, relation byte, bound string) error {
	reference, below, hasBelow := strings.Cut(bound, "-")
	reference, below = strings.TrimSpace(reference), strings.TrimSpace(below)
	if relation != '>' || !plainNumber.MatchString(reference) || hasBelow && !plainNumber.MatchString(below) {
		return errors.New("expected the F1 to reach and, if it may be missed, by how much, such as 'f1 > 0.8' or 'f1 > 0.8 -0.02'")
	}
	g.Worse = rolloutv1.Direction_DIRECTION_DECREASE
	g.Reference = mustParse(reference)
	margin := 0.0
	if hasBelow {
		margin = mustParse(below)
	}
	g.Margin = &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: margin}}
	return nil
}

func parseDrift(g *rolloutv1.Guardrail, relation byte, bound string) error {
	g.Worse = rolloutv1.Direction_DIRECTION_INCREASE
	if relation == 0 {
		return nil
	}
	if relation != '<' || !plainNumber.MatchString(bound) {
		return errors.New("expected a PSI, such as 'drift < 0.1', or 'drift' alone")
	}
	g.Margin = &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: mustParse(bound)}}
	return nil
}

// parseMargin reads '5% relative', '0.5pp', '100ms' or '12.5'.
func parseMargin(amount, sign string) (*rolloutv1.Margin, error) {
	amount, relative := strings.CutSuffix(amount, "relative")
	amount = strings.TrimSpace(amount)
	percent, isPercent := strings.CutSuffix(amount, "%")
	points, isPoints := strings.CutSuffix(amount, "pp")
	switch {
	case isPercent && !relative && plainNumber.MatchString(percent):
		return nil, fmt.Errorf("%s%s could be two things: write '%s%s relative' for %s of the control's value, or '%s%spp' for percentage points",
			sign, amount, sign, amount, amount, sign, percent)
	case relative != isPercent, isPercent && !plainNumber.MatchString(percent), isPoints && !plainNumber.MatchString(points):
	case isPercent:
		return &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: mustParse(percent + "e-2")}}, nil
	case isPoints:
		return &rolloutv1.Margin{Unit: &rolloutv1.Margin_PercentagePoints{PercentagePoints: mustParse(points)}}, nil
	default:
		if plainNumber.MatchString(amount) {
			return &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: mustParse(amount)}}, nil
		}
		if v, ok := parseSeconds(amount); ok {
			return &rolloutv1.Margin{Unit: &rolloutv1.Margin_Seconds{Seconds: v}}, nil
		}
	}
	return nil, fmt.Errorf("%q is not a margin: write it such as 5%% relative, 0.5pp, 100ms or 12.5", shortened(amount))
}

// parseSeconds reads a duration in us, ms or s.
func parseSeconds(amount string) (float64, bool) {
	for _, unit := range []struct{ name, exponent string }{{"us", "e-6"}, {"ms", "e-3"}, {"s", "e0"}} {
		if number, ok := strings.CutSuffix(amount, unit.name); ok && plainNumber.MatchString(number) {
			return mustParse(number + unit.exponent), true
		}
	}
	return 0, false
}

func parseOption(g *rolloutv1.Guardrail, words []string) error {
	text := strings.Join(words, " ")
	number := len(words) == 2 && plainNumber.MatchString(words[1])
	switch {
	case text == "of observations":
		g.Denominator = rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS
	case text == "of exposures":
		g.Denominator = rolloutv1.Denominator_DENOMINATOR_EXPOSURES
	case text == "hold":
		g.Action = rolloutv1.Action_ACTION_HOLD
	case text == "rollback":
		g.Action = rolloutv1.Action_ACTION_ROLLBACK
	case number && words[0] == "weight":
		if g.Weight = mustParse(words[1]); g.GetWeight() == 0 { // which stands for the default
			return fmt.Errorf("%q: a weight is above 0; a guardrail that takes nothing of the budget is one that holds: write 'hold'", text)
		}
	case len(words) == 2 && words[0] == "by":
		g.SegmentBy = words[1]
	case len(words) > 1 && words[0] == "ratios":
		g.PromotionRatios = nil
		for _, w := range words[1:] {
			if !plainNumber.MatchString(w) {
				return fmt.Errorf("%q is not a ratio: write them such as 'ratios 5 3 2 1.5'", shortened(w))
			}
			g.PromotionRatios = append(g.PromotionRatios, mustParse(w))
		}
	default:
		return fmt.Errorf("%q is not an option: expected 'of observations', 'of exposures', 'weight 4', 'hold', 'rollback', 'by ATTRIBUTE' or 'ratios 5 3 2'", shortened(text))
	}
	return nil
}

// ParseSuccess reads 'rate(purchases) rises' and the like.
func ParseSuccess(text string) (*rolloutv1.Success, error) {
	parts := strings.Split(text, ",")
	head := strings.TrimSpace(parts[0])
	s := &rolloutv1.Success{}
	switch {
	case strings.HasSuffix(head, " rises"):
		s.Better = rolloutv1.Direction_DIRECTION_INCREASE
	case strings.HasSuffix(head, " falls"):
		s.Better = rolloutv1.Direction_DIRECTION_DECREASE
	default:
		return nil, fmt.Errorf("%q: expected STATISTIC(METRIC) rises, or falls, such as '%s'", shortened(head), SuccessExample)
	}
	var g rolloutv1.Guardrail
	if err := parseStatistic(&g, strings.TrimSpace(head[:len(head)-len(" rises")])); err != nil {
		return nil, err
	}
	if g.GetMetric() == "" {
		return nil, fmt.Errorf("%q: the metric is missing: write it such as '%s'", shortened(head), SuccessExample)
	}
	s.Statistic, s.Metric = g.GetStatistic(), g.GetMetric()
	for _, option := range parts[1:] {
		if err := parseSuccessOption(s, strings.Fields(option)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func parseSuccessOption(s *rolloutv1.Success, words []string) error {
	text := strings.Join(words, " ")
	switch {
	case text == "of observations":
		s.Denominator = rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS
		return nil
	case text == "of exposures":
		s.Denominator = rolloutv1.Denominator_DENOMINATOR_EXPOSURES
		return nil
	case len(words) == 2 && words[0] == "alpha" && plainNumber.MatchString(words[1]):
		s.Alpha = mustParse(words[1])
		return nil
	case len(words) == 2 && words[0] == "relevant":
		if percent, ok := strings.CutSuffix(words[1], "%"); ok && plainNumber.MatchString(percent) {
			s.RelevantDifference = mustParse(percent + "e-2")
			return nil
		}
	case len(words) == 4 && strings.HasPrefix(text, "give up after "):
		d, err := ParseDuration(words[3])
		if err != nil {
			return err
		}
		s.GiveUpAfter = durationpb.New(d)
		return nil
	}
	return fmt.Errorf("%q is not an option: expected 'of observations', 'of exposures', 'alpha 0.05', 'relevant 5%%' or 'give up after 14d'", shortened(text))
}

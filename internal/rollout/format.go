package rollout

import (
	"strconv"
	"strings"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// FormatGuardrail writes what [ParseGuardrailOf] reads as the same guardrail, once it is
// complete: without the name, and without what [Complete] fills in.
func FormatGuardrail(g *rolloutv1.Guardrail) string {
	var b strings.Builder
	b.WriteString(statisticText(g.GetStatistic(), g.GetQuantile()))
	if g.GetMetric() != g.GetName() {
		b.WriteString("(" + g.GetMetric() + ")")
	}
	b.WriteString(boundText(g))
	if g.GetDenominator() == rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS {
		b.WriteString(", of observations")
	}
	if w := g.GetWeight(); w != 0 && w != 1 {
		b.WriteString(", weight " + decimal(w))
	}
	if g.GetAction() == rolloutv1.Action_ACTION_HOLD && g.GetStatistic() != rolloutv1.Statistic_STATISTIC_DRIFT {
		b.WriteString(", hold")
	}
	if g.GetSegmentBy() != "" {
		b.WriteString(", by " + g.GetSegmentBy())
	}
	if ratios := g.GetPromotionRatios(); len(ratios) > 0 && !isDefaultRatios(g) {
		b.WriteString(", ratios")
		for _, r := range ratios {
			b.WriteString(" " + decimal(r))
		}
	}
	return b.String()
}

func isDefaultRatios(g *rolloutv1.Guardrail) bool {
	standard := defaultRatios()
	if len(g.GetPromotionRatios()) != len(standard) {
		return false
	}
	for i, r := range g.GetPromotionRatios() {
		if r != max(standard[i], allowedRatio(g)) {
			return false
		}
	}
	return true
}

// FormatSuccess writes what [ParseSuccess] reads.
func FormatSuccess(s *rolloutv1.Success) string {
	var b strings.Builder
	b.WriteString(statisticText(s.GetStatistic(), 0) + "(" + s.GetMetric() + ")")
	if s.GetBetter() == rolloutv1.Direction_DIRECTION_DECREASE {
		b.WriteString(" falls")
	} else {
		b.WriteString(" rises")
	}
	if s.GetDenominator() == rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS {
		b.WriteString(", of observations")
	}
	if a := s.GetAlpha(); a != 0 && a != DefaultAlpha {
		b.WriteString(", alpha " + decimal(a))
	}
	if d := s.GetRelevantDifference(); d != 0 && d != DefaultDifference {
		b.WriteString(", relevant " + hundredfold(d) + "%")
	}
	if s.GetGiveUpAfter() != nil {
		b.WriteString(", give up after " + FormatDuration(s.GetGiveUpAfter().AsDuration()))
	}
	return b.String()
}

func statisticText(s rolloutv1.Statistic, quantile float64) string {
	if s == rolloutv1.Statistic_STATISTIC_QUANTILE {
		return "p" + hundredfold(quantile)
	}
	for _, w := range statisticWords {
		if w.statistic == s {
			return w.word
		}
	}
	return strconv.Itoa(int(s))
}

func boundText(g *rolloutv1.Guardrail) string {
	switch g.GetStatistic() {
	case rolloutv1.Statistic_STATISTIC_F1:
		text := " > " + decimal(g.GetReference())
		if m := g.GetMargin().GetAbsolute(); m != 0 {
			text += " -" + decimal(m)
		}
		return text
	case rolloutv1.Statistic_STATISTIC_DRIFT:
		if m := g.GetMargin(); m != nil && m.GetAbsolute() != DefaultDrift {
			return " < " + decimal(m.GetAbsolute())
		}
		return ""
	}
	relation := " < +"
	if g.GetWorse() == rolloutv1.Direction_DIRECTION_DECREASE {
		relation = " > -"
	}
	return relation + MarginText(g.GetMargin())
}

// MarginText writes a margin with its unit, such as '5% relative'.
func MarginText(m *rolloutv1.Margin) string {
	switch u := m.GetUnit().(type) {
	case *rolloutv1.Margin_Relative:
		return hundredfold(u.Relative) + "% relative"
	case *rolloutv1.Margin_PercentagePoints:
		return decimal(u.PercentagePoints) + "pp"
	case *rolloutv1.Margin_Absolute:
		return decimal(u.Absolute)
	case *rolloutv1.Margin_Seconds:
		return secondsText(u.Seconds)
	}
	return "?"
}

// secondsText writes what parseSeconds reads, in the unit that people would take.
func secondsText(v float64) string {
	switch {
	case v == 0 || v >= 1:
		return decimal(v) + "s"
	case v >= 1e-3:
		return shifted(v, 3) + "ms"
	}
	return shifted(v, 6) + "us"
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// hundredfold writes 100 times a number.
func hundredfold(v float64) string { return shifted(v, 2) }

// shifted writes a power of ten times a number: exactly, by moving its decimal point.
func shifted(v float64, places int) string {
	whole, fraction, _ := strings.Cut(decimal(v), ".")
	fraction += strings.Repeat("0", places)
	whole, fraction = whole+fraction[:places], strings.TrimRight(fraction[places:], "0")
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}

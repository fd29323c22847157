package main

import (
	"fmt"
	"io"
	"strings"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/rollout"
)

// writeAssessment shows the figures: a line for each guardrail, and what else the decision was
// made by.
func (c *client) writeAssessment(out io.Writer, d *rolloutv1.Decision) {
	a := d.GetAssessment()
	if a == nil {
		return
	}
	guardrails := map[string]*rolloutv1.Guardrail{}
	for _, g := range d.GetInputs().GetRollout().GetGuardrails() {
		guardrails[g.GetName()] = g
	}
	if len(a.GetGuardrails()) > 0 {
		fmt.Fprintln(out)
		t := table{paint: c.paint, header: []string{"GUARDRAIL", "STANDING", "TREATMENT TO CONTROL", "HARM", "SAFETY", "TREATMENT", "CONTROL"}}
		for _, g := range a.GetGuardrails() {
			n := g.GetCounts()
			of := judge.CountedWord(guardrails[g.GetName()])
			t.add(plain(g.GetName()), c.standingCell(g.GetStanding()), plain(judge.Summary(g)),
				plain(meter(g.LogE, g.GetLogThreshold())), plain(meter(g.GateLogE, g.GetGateLogThreshold())),
				plain(shareText(n.GetTreatmentEvents(), n.GetTreatmentExposures(), of)), plain(shareText(n.GetControlEvents(), n.GetControlExposures(), of)))
		}
		t.write(out)
	}
	var notes []string
	if d.GetInputs().GetRollout().GetUnit() != rolloutv1.Unit_UNIT_REQUEST {
		notes = append(notes, "of each subject an exposure counts once a second, an observation once in 10 s, an event once in 10 min: rates compare the variants, they are no shares of subjects")
	}
	for _, g := range a.GetGuardrails() {
		notes = append(notes, guardrailNotes(g)...)
	}
	if r := a.GetSampleRatio(); r.GetSubjects() > 0 {
		notes = append(notes, fmt.Sprintf("%.4g%% of %d subjects were treated, %.4g%% should be: evidence of a mismatch %s; each relay counts its own",
			100*r.GetObserved(), r.GetSubjects(), 100*r.GetExpected(), meter(&r.LogE, r.GetLogThreshold())))
	}
	if a.GetTraffic() > 0 && d.GetInputs().GetSituation().GetFlagReady() {
		notes = append(notes, fmt.Sprintf("%.3g exposures a second", a.GetTraffic()))
	}
	for i, w := range a.GetWaits() {
		if i > 0 && d.GetVerdict() == rolloutv1.Verdict_VERDICT_HOLD { // the first is the headline
			notes = append(notes, "it would wait, too: "+w.GetMessage())
		}
	}
	if a.GetRefused() > 0 {
		notes = append(notes, fmt.Sprintf("%d pieces of telemetry made no sense: %s", a.GetRefused(), a.GetRefusal()))
	}
	for _, note := range notes {
		fmt.Fprintf(out, "  %s\n", singleLine(note))
	}
}

// guardrailNotes are what would have been otherwise.
func guardrailNotes(g *rolloutv1.GuardrailAssessment) (notes []string) {
	if g.EventsToBreach != nil && g.GetStanding() != rolloutv1.Standing_STANDING_BREACH {
		notes = append(notes, fmt.Sprintf("%s: %d more events of the treatment in one second would have shut it", g.GetName(), g.GetEventsToBreach()))
	}
	if g.Detectable != nil {
		notes = append(notes, fmt.Sprintf("%s: ten minutes at this traffic find %.3gx on the average", g.GetName(), g.GetDetectable()))
	}
	if s := g.GetWorstSegment(); s != "" {
		notes = append(notes, fmt.Sprintf("%s: worst in %q", g.GetName(), s))
	}
	return notes
}

// meter is evidence beside what is needed, as e-values: '40 of 250'.
func meter(logE *float64, threshold float64) string {
	if logE == nil {
		return ""
	}
	return rollout.EValue(*logE) + " of " + rollout.EValue(threshold)
}

func shareText(events, of uint64, what string) string {
	if of == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d %s", events, of, what)
}

func (c *client) standingCell(s rolloutv1.Standing) cell {
	paint := c.paint.dim
	switch s {
	case rolloutv1.Standing_STANDING_SAFE:
		paint = c.paint.green
	case rolloutv1.Standing_STANDING_UNPROVEN:
		paint = c.paint.yellow
	case rolloutv1.Standing_STANDING_BREACH:
		paint = c.paint.red
	}
	return cell{strings.ReplaceAll(enumWord(s.String(), "STANDING_"), "_", " "), paint}
}

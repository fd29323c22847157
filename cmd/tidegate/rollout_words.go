package main

import (
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/rollout"
)

func rolloutState(s rolloutv1.State) string { return rollout.StateWord(s) }

// servedShare is the share of the treatment in force.
func servedShare(r *rolloutv1.Rollout) string { return rollout.Percent(r.GetStatus().GetWeight()) }

// stageText is such as '2 of 5'.
func stageText(r *rolloutv1.Rollout) string {
	return fmt.Sprintf("%d of %d", r.GetStatus().GetStage()+1, len(r.GetStages()))
}

// writeRollout shows a rollout as a block of lines.
func (c *client) writeRollout(out io.Writer, v *controlv1.RolloutVersion, assessment *rolloutv1.Assessment) {
	r := v.GetRollout()
	status := r.GetStatus()
	state := c.rolloutStateCell(status.GetState())
	fmt.Fprintf(out, "%s is %s%s, at stage %s %s\n", c.paint.bold(singleLine(r.GetKey())), state.paint(state.text),
		c.servesText(r, assessment), stageText(r), c.paint.dim("("+revisionText(v.GetRevision())+")"))
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(out, "  %s %s\n", c.paint.dim(fmt.Sprintf("%-10s", name)), text)
		}
	}
	line("about", singleLine(r.GetDescription()))
	line("owner", singleLine(r.GetOwner()))
	line("owns", fmt.Sprintf("%s: %s -> %s", rollout.OutcomeWord(r.GetRule()), singleLine(r.GetControl()), singleLine(r.GetTreatment())))
	line("stages", c.stagesText(r))
	for i, g := range r.GetGuardrails() {
		name := ""
		if i == 0 {
			name = "guardrails"
		}
		line(name, singleLine(g.GetName()+": "+rollout.FormatGuardrail(g)))
	}
	if r.GetSuccess() != nil {
		line("success", singleLine(rollout.FormatSuccess(r.GetSuccess())))
	}
	times := "started " + timeText(status.GetStartedAt())
	if status.GetEndedAt() != nil {
		times += ", ended " + timeText(status.GetEndedAt())
	}
	line("times", times)
	if status.GetDecision() > 0 {
		line("decision", fmt.Sprintf("%d: %s", status.GetDecision(), singleLine(status.GetHeadline())))
	}
	line("evidence", assessmentText(assessment))
}

// servesText is such as ': new-checkout serves "on" to 20%', or why it does not.
func (c *client) servesText(r *rolloutv1.Rollout, a *rolloutv1.Assessment) string {
	flag, treatment, share := singleLine(r.GetFlagKey()), singleLine(r.GetTreatment()), c.paint.bold(servedShare(r))
	for _, w := range a.GetWaits() {
		if w.GetReason() == string(judge.ReasonFlag) && rollout.Active(r) {
			return fmt.Sprintf(", but %s: %s does not serve %q to %s", c.paint.yellow(singleLine(w.GetMessage())), flag, treatment, share)
		}
	}
	return fmt.Sprintf(": %s serves %q to %s", flag, treatment, share)
}

// stagesText is such as '1% 1m, [5% 1m], 100% 10m; holdback 2%, bake 10m'.
func (c *client) stagesText(r *rolloutv1.Rollout) string {
	stages := make([]string, 0, len(r.GetStages()))
	for i, s := range r.GetStages() {
		text := rollout.Percent(s.GetWeight()) + " " + durationWord(s.GetMinDwell())
		if s.GetManual() {
			text += " manual"
		}
		if i == int(r.GetStatus().GetStage()) {
			text = c.paint.bold("[" + text + "]")
		}
		stages = append(stages, text)
	}
	text := strings.Join(stages, ", ")
	if r.GetHoldback() > 0 {
		text += "; holdback " + rollout.Percent(r.GetHoldback())
	}
	return text + "; bake " + durationWord(r.GetBake())
}

func durationWord(d *durationpb.Duration) string { return rollout.FormatDuration(d.AsDuration()) }

// assessmentText is how the evidence stands, in a sentence; it says how long that takes.
func assessmentText(a *rolloutv1.Assessment) string { return singleLine(a.GetHeadline()) }

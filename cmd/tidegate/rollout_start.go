package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/manifest"
	"github.com/tidegate/tidegate/internal/rollout"
)

func newRolloutStartCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	s := &rolloutSetting{}
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "start KEY --flag KEY --to VARIANT --guardrail TEXT | start -f FILE [KEY]",
		Short: "Start a rollout: from what it says here, or in a file",
		Long: "Start a rollout: from what it says here, or in a file.\n\n" +
			"A guardrail is what must not get worse: NAME: STATISTIC[(METRIC)] < +MARGIN, or > -MARGIN.\n" +
			"  errors: rate < +5% relative            of the control's error rate: 1% may become 1.05%\n" +
			"  errors: rate < +0.5pp                  percentage points: 1% may become 1.5%\n" +
			"  slow: p99(checkout-time) < +100ms      a quantile; or mean; or +10% relative\n" +
			"  purchases: rate > -2% relative, hold   what must not fall; a breach stops, and does not shut\n" +
			"  quality: f1(classifier) > 0.8          also misprediction, false-discovery, miss and drift\n" +
			"Options follow, after commas: 'of observations', 'weight 4', 'hold', 'by ATTRIBUTE',\n" +
			"'ratios 5 3 2'.",
		Example: "  tidegate rollout start new-checkout-1 --flag new-checkout --to on --strategy canary \\\n" +
			"      --guardrail 'errors: rate < +5% relative' --environment production --reason \"ready for everyone\"\n" +
			"  tidegate rollout start -f examples/rollouts/new-checkout.yaml --environment production --reason \"ready for everyone\"",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireWrite(); err != nil && (!dryRun || o.environment == "") {
				return err
			}
			r, explain, err := s.rollout(cmd, streams, args)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.explainWith(c.startRollout(ctx, r, dryRun), explain)
			})
		},
	}
	o.registerWrite(cmd.Flags())
	o.registerPropose(cmd.Flags())
	s.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only check, and show what would be started")
	return cmd
}

// rolloutSetting is what the flags of 'rollout start' hold.
type rolloutSetting struct {
	file                              string
	flag, rule, from, to              string
	strategy, stages, holdback, dwell string
	manual                            bool
	bake                              string
	guardrails                        []string
	success, unit, budget, edgeAfter  string
	noEdgeBreaker                     bool
	owner, description                string
	notify                            []string
}

func (s *rolloutSetting) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.file, "filename", "f", "", "file of rollouts, or - ; KEY then says which, if there are several")
	f.StringVar(&s.flag, "flag", "", "flag whose outcome is split")
	f.StringVar(&s.rule, "rule", "", "id of the rule whose outcome is split; empty: the flag's default")
	f.StringVar(&s.from, "from", "", "variant that is served now; empty: what the outcome serves")
	f.StringVar(&s.to, "to", "", "variant that shall be served")
	f.StringVar(&s.strategy, "strategy", "", "stages from a preset: canary, blue-green, experiment or fixed")
	f.StringVar(&s.stages, "stages", "", "stages as listed: 1%,5%,50%,100%")
	f.StringVar(&s.dwell, "dwell", "", "how long to stay at least at each of --stages, such as 10m; empty: 1m")
	f.BoolVar(&s.manual, "manual", false, "a person promotes from each of --stages; the evidence alone does not")
	f.StringVar(&s.holdback, "holdback", "", "share that keeps the old variant while the last stage is watched; empty: 2% of a rollout to 100%")
	f.StringVar(&s.bake, "bake", "", "how long the last stage is watched; empty: as long as it stays at least")
	f.StringArrayVar(&s.guardrails, "guardrail", nil, "what must not get worse, such as '"+rollout.GuardrailExample+"'; may be repeated")
	f.StringVar(&s.success, "success", "", "what shall get better, such as '"+rollout.SuccessExample+"'")
	f.StringVar(&s.unit, "unit", "", "what counts by itself: subject (default: its exposures once a second, its events once in 10 minutes), or each request")
	f.StringVar(&s.budget, "false-rollback-budget", "", "greatest probability to shut a good rollout; empty: 1%")
	f.StringVar(&s.edgeAfter, "edge-after", "", "how long a relay is cut off before it judges by itself; empty: 10s")
	f.BoolVar(&s.noEdgeBreaker, "no-edge-breaker", false, "relays that are cut off do not judge by themselves")
	f.StringVar(&s.owner, "owner", "", "whom to ask")
	f.StringVar(&s.description, "description", "", "what it is for")
	f.StringSliceVar(&s.notify, "notify", nil, "notification targets to tell; empty: all")
}

// rollout is what was asked for, and how to explain a field of it that the server objects to.
func (s *rolloutSetting) rollout(cmd *cobra.Command, streams *streams, args []string) (*rolloutv1.Rollout, func(field, problem string) string, error) {
	if s.file != "" {
		for _, name := range []string{
			"flag", "rule", "from", "to", "strategy", "stages", "dwell", "manual", "holdback", "bake", "guardrail", "success", "unit",
			"false-rollback-budget", "edge-after", "no-edge-breaker", "owner", "description", "notify",
		} {
			if cmd.Flags().Changed(name) {
				return nil, nil, usagef("--%s and --filename: a rollout is in the file, or it is said here", name)
			}
		}
		return rolloutInFile(streams.in, s.file, args)
	}
	switch {
	case len(args) == 0:
		return nil, nil, usagef("say what to call it: KEY is missing (or pass -f FILE)")
	case s.flag == "":
		return nil, nil, usagef("say which flag: --flag KEY (or pass -f FILE)")
	case s.to == "":
		return nil, nil, usagef("say what shall be served: --to VARIANT")
	case s.strategy == "" && s.stages == "":
		return nil, nil, usagef("say in which stages: --strategy canary, or --stages 1%%,10%%,100%%")
	case s.stages == "" && (s.dwell != "" || s.manual):
		return nil, nil, usagef("--dwell and --manual are of --stages")
	}
	r, err := s.said(args[0])
	return r, fieldOfRollout, err
}

// fieldOfRollout shows a field without the name of the request's.
func fieldOfRollout(field, problem string) string {
	return fieldProblem(strings.TrimPrefix(field, "rollout."), problem)
}

// said makes a rollout of the flags.
func (s *rolloutSetting) said(key string) (*rolloutv1.Rollout, error) {
	r := &rolloutv1.Rollout{
		Key: key, Description: s.description, Owner: s.owner, FlagKey: s.flag, Rule: s.rule, Control: s.from, Treatment: s.to, Notify: s.notify,
	}
	var err error
	if r.Stages, err = s.listed(); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name, text string
		read       func(text string) error
	}{
		{"strategy", s.strategy, func(t string) (err error) { r.Strategy, err = rollout.ParseWord(t, rollout.Strategies()); return err }},
		{"unit", s.unit, func(t string) (err error) { r.Unit, err = rollout.ParseWord(t, rollout.Units()); return err }},
		{"holdback", s.holdback, func(t string) error {
			weight, err := rollout.ParseWeight(t)
			r.Holdback = proto.Uint32(weight)
			return err
		}},
		{"bake", s.bake, intoDuration(&r.Bake)},
		{"success", s.success, func(t string) (err error) { r.Success, err = rollout.ParseSuccess(t); return err }},
		{"false-rollback-budget", s.budget, func(t string) (err error) {
			r.FalseRollbackBudget, err = rollout.ParseProbability(t)
			return err
		}},
		{"edge-after", s.edgeAfter, func(t string) error {
			r.EdgeBreaker = &rolloutv1.EdgeBreaker{}
			return intoDuration(&r.EdgeBreaker.After)(t)
		}},
	} {
		if part.text == "" {
			continue
		}
		if err := part.read(part.text); err != nil {
			return nil, usagef("--%s: %v", part.name, err)
		}
	}
	if s.noEdgeBreaker {
		r.EdgeBreaker = &rolloutv1.EdgeBreaker{Disabled: true}
	}
	for _, text := range s.guardrails {
		g, err := rollout.ParseGuardrail(text)
		if err != nil {
			return nil, usagef("--guardrail: %v", err)
		}
		r.Guardrails = append(r.Guardrails, g)
	}
	return r, nil
}

// listed reads --stages.
func (s *rolloutSetting) listed() ([]*rolloutv1.Stage, error) {
	if s.stages == "" {
		return nil, nil
	}
	var dwell *durationpb.Duration
	if s.dwell != "" {
		if err := intoDuration(&dwell)(s.dwell); err != nil {
			return nil, usagef("--dwell: %v", err)
		}
	}
	var stages []*rolloutv1.Stage
	for text := range strings.SplitSeq(s.stages, ",") {
		weight, err := rollout.ParseWeight(strings.TrimSpace(text))
		if err != nil {
			return nil, usagef("--stages: %v", err)
		}
		stages = append(stages, &rolloutv1.Stage{Weight: weight, MinDwell: dwell, Manual: s.manual})
	}
	return stages, nil
}

func intoDuration(into **durationpb.Duration) func(string) error {
	return func(text string) error {
		d, err := rollout.ParseDuration(text)
		*into = durationpb.New(d)
		return err
	}
}

// rolloutInFile reads the rollout that is to be started.
func rolloutInFile(in io.Reader, file string, args []string) (*rolloutv1.Rollout, func(field, problem string) string, error) {
	data, name, err := readManifest(in, file)
	if err != nil {
		return nil, nil, err
	}
	d, err := manifest.ParseRollouts(name, data)
	if err != nil {
		return nil, nil, invalidFiles([]string{err.Error()})
	}
	keys := make([]string, 0, len(d.Rollouts))
	for _, r := range d.Rollouts {
		if len(args) == 0 && len(d.Rollouts) == 1 || len(args) == 1 && args[0] == r.GetKey() {
			root := "rollouts[" + r.GetKey() + "]"
			inRollout := inFile(d)
			return r, func(field, problem string) string {
				rest, ok := strings.CutPrefix(field, "rollout")
				if !ok {
					return fieldProblem(field, problem)
				}
				return inRollout(root+rest, problem)
			}, nil
		}
		keys = append(keys, r.GetKey())
	}
	switch {
	case len(keys) == 0:
		return nil, nil, errors.New("the file holds no rollout")
	case len(args) == 0:
		return nil, nil, usagef("say which rollout of the file: %s", strings.Join(keys, ", "))
	}
	return nil, nil, fmt.Errorf("the file holds no rollout %s, but %s", args[0], strings.Join(keys, ", "))
}

func (c *client) startRollout(ctx context.Context, r *rolloutv1.Rollout, dryRun bool) error {
	if c.proposing.on && !dryRun {
		return c.propose(ctx, &controlv1.ProposeChangeRequestRequest{Rollout: r})
	}
	request := &controlv1.StartRolloutRequest{Environment: c.environment, Rollout: r, Reason: c.reason, ValidateOnly: dryRun}
	if !dryRun {
		request.RequestId = newRequestID()
	}
	response, err := write(ctx, c, c.rollouts.StartRollout, request)
	if err != nil {
		return err
	}
	return c.show(response, func(out io.Writer) {
		v := response.GetRollout()
		if dryRun {
			fmt.Fprintf(out, "would start in %s; nothing was written\n", c.environment)
		} else {
			fmt.Fprintf(out, "started in %s at revision %d\n", c.environment, v.GetRevision())
		}
		c.writeRollout(out, v, nil)
		if len(response.GetFlagChanges()) > 0 {
			fmt.Fprintf(out, "flag %s:\n", singleLine(r.GetFlagKey()))
			writeChanges(out, c.paint, "  ", response.GetFlagChanges())
		}
	})
}

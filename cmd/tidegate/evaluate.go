package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// evaluation is what 'evaluate' is asked.
type evaluation struct {
	environment string
	key         string // of the flag; empty: all
	prefix      string
	subject     *evaluationv1.EvaluationContext
}

func newEvaluateCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		e            evaluation
		targetingKey string
		attributes   []string
		all, watch   bool
	)
	cmd := &cobra.Command{
		Use:   "evaluate KEY",
		Short: "Ask a relay what a flag answers for a user, a job or a device",
		Long: "Ask a relay what a flag answers for a user, a job or a device, and why.\n\n" +
			"Attributes are texts (--attribute country=Canada) or JSON (--attribute age:=30).",
		Example: "  tidegate evaluate new-checkout --key user-1 --attribute country=Canada\n" +
			"  tidegate evaluate --all --key user-1 -o json\n" +
			"  tidegate evaluate new-checkout --key user-1 --watch",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && !all && e.prefix == "":
				return usagef("name a flag, or pass --all or --prefix")
			case len(args) == 1 && (all || e.prefix != ""):
				return usagef("name a flag, or pass --all or --prefix, not both")
			case len(args) == 1:
				e.key = args[0]
			}
			values, err := parseAttributes(attributes)
			if err != nil {
				return err
			}
			e.subject = &evaluationv1.EvaluationContext{TargetingKey: targetingKey, Attributes: values}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				switch {
				case watch:
					return c.watch(ctx, e)
				case e.key == "":
					return c.evaluateAll(ctx, e)
				}
				return c.evaluate(ctx, e)
			})
		},
	}
	f := cmd.Flags()
	o.registerRelay(f)
	f.SetNormalizeFunc(evaluateNames)
	f.StringVarP(&e.environment, "environment", "e", fromVariable(environmentVariable, ""), "environment; also $"+environmentVariable+"; empty: the relay's default")
	f.StringVarP(&targetingKey, "key", "k", "", "targeting key: who or what the flag is evaluated for")
	f.StringArrayVarP(&attributes, "attribute", "a", nil, "attribute of the subject, NAME=TEXT or NAME:=JSON; may be repeated")
	f.BoolVar(&all, "all", false, "all flags of the environment")
	f.StringVar(&e.prefix, "prefix", "", "all flags whose keys start with this")
	f.BoolVarP(&watch, "watch", "w", false, "show the answer, then each one that changes, until interrupted")
	return cmd
}

// evaluateNames accepts other words for the same flags.
func evaluateNames(f *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "server" {
		name = "relay"
	}
	return attributeNames(f, name)
}

func attributeNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "attr" {
		name = "attribute"
	}
	return pflag.NormalizedName(name)
}

// parseAttributes reads NAME=TEXT and NAME:=JSON.
func parseAttributes(attributes []string) (*structpb.Struct, error) {
	if len(attributes) == 0 {
		return nil, nil //nolint:nilnil // no attributes
	}
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for _, a := range attributes {
		name, text, ok := strings.Cut(a, "=")
		name, isJSON := strings.CutSuffix(name, ":")
		switch {
		case !ok || name == "":
			return nil, usagef("--attribute %s: expected NAME=TEXT or NAME:=JSON", a)
		case name == "targetingKey":
			return nil, usagef("--attribute %s: the targeting key is no attribute, but an option of its own", a)
		case strings.HasPrefix(name, "$tidegate"), strings.HasPrefix(name, "$flagd"):
			return nil, usagef("--attribute %s: %s is for whoever evaluates to say; what a caller sends is ignored", a, name)
		case s.GetFields()[name] != nil:
			return nil, usagef("--attribute %s: %s is given twice", a, name)
		}
		value := structpb.NewStringValue(text)
		if isJSON {
			if !json.Valid([]byte(text)) {
				return nil, usagef("--attribute %s: %s is not JSON; for a text, write %s=%s", a, text, name, text)
			}
			value = &structpb.Value{}
			if err := protojson.Unmarshal([]byte(text), value); err != nil {
				return nil, usagef("--attribute %s: %v", a, err)
			}
		}
		s.Fields[name] = value
	}
	return s, nil
}

// evaluate asks for one flag. An answer that is an error is the command's error too.
func (c *client) evaluate(ctx context.Context, e evaluation) error {
	answer, err := read(ctx, c, c.evaluations.Evaluate, &evaluationv1.EvaluateRequest{
		Environment: e.environment, FlagKey: e.key, Context: e.subject,
	})
	if err != nil {
		return err
	}
	if answer.GetErrorCode() == "" || c.output != outputTable {
		if err := c.show(answer, func(out io.Writer) { c.writeAnswer(out, answer) }); err != nil {
			return err
		}
	}
	if answer.GetErrorCode() != "" {
		return fmt.Errorf("%s: %s (%s)", e.key, visible(answer.GetErrorMessage()), answer.GetErrorCode())
	}
	return nil
}

func (c *client) writeAnswer(out io.Writer, a *evaluationv1.EvaluateResponse) {
	fmt.Fprintf(out, "%s = %s\n", c.paint.bold(a.GetFlagKey()), c.paint.green(answerValue(a)))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "  %s %s\n", c.paint.dim(fmt.Sprintf("%-12s", name)), value)
		}
	}
	line("variant", singleLine(a.GetVariant()))
	line("reason", singleLine(a.GetReason()))
	line("rule", singleLine(a.GetRule()))
	line("unmet prerequisite", singleLine(a.GetUnmetPrerequisite()))
	line("flag", revisionText(a.GetFlagRevision()))
	line("environment", fmt.Sprintf("%s, confirmed current %s", revisionText(a.GetEnvironmentRevision()), ageText(a.GetAge().AsDuration())))
}

func (c *client) evaluateAll(ctx context.Context, e evaluation) error {
	answers, err := read(ctx, c, c.evaluations.EvaluateAll, &evaluationv1.EvaluateAllRequest{
		Environment: e.environment, Context: e.subject, KeyPrefix: e.prefix,
	})
	if err != nil {
		return err
	}
	return c.show(answers, func(out io.Writer) {
		if len(answers.GetEvaluations()) == 0 {
			fmt.Fprintln(out, "no flags")
			return
		}
		c.writeAnswers(out, answers.GetEvaluations())
	})
}

func (c *client) writeAnswers(out io.Writer, answers []*evaluationv1.EvaluateResponse) {
	t := table{paint: c.paint, header: []string{"KEY", "VALUE", "VARIANT", "REASON", "RULE"}}
	for _, a := range answers {
		value := cell{answerValue(a), c.paint.green}
		reason := singleLine(a.GetReason())
		if a.GetErrorCode() != "" {
			value = cell{singleLine(a.GetErrorMessage()), c.paint.red}
			reason = singleLine(a.GetErrorCode())
		}
		t.add(cell{singleLine(a.GetFlagKey()), c.paint.bold}, value, plain(a.GetVariant()), plain(reason), plain(a.GetRule()))
	}
	t.write(out)
}

// answerValue is the value as JSON.
func answerValue(a *evaluationv1.EvaluateResponse) string {
	var v *structpb.Value
	switch value := a.GetValue().(type) {
	case *evaluationv1.EvaluateResponse_BoolValue:
		v = structpb.NewBoolValue(value.BoolValue)
	case *evaluationv1.EvaluateResponse_StringValue:
		v = structpb.NewStringValue(value.StringValue)
	case *evaluationv1.EvaluateResponse_IntValue:
		return strconv.FormatInt(value.IntValue, 10)
	case *evaluationv1.EvaluateResponse_DoubleValue:
		v = structpb.NewNumberValue(value.DoubleValue)
	case *evaluationv1.EvaluateResponse_ObjectValue:
		v = structpb.NewStructValue(value.ObjectValue)
	default:
		return "(the caller's default)"
	}
	return shortened(valueText(v))
}

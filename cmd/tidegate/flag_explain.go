package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func newFlagExplainCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		targetingKey, given, region string
		attributes, files           []string
	)
	cmd := &cobra.Command{
		Use:   "explain KEY",
		Short: "Show how a flag comes to its answer, step by step",
		Long: "Show how a flag comes to its answer for a user, a job or a device: its prerequisites, each\n" +
			"rule and clause that was looked at, segments, expressions, and the bucket of a split.\n\n" +
			"With --file, the flags and segments of the file stand in the place of those that there\n" +
			"are; nothing is written. The control server answers, as a relay does that has its state.",
		Example: "  tidegate flag explain new-checkout --key user-1 --attribute country=Canada\n" +
			"  tidegate flag explain new-checkout --context '{\"targetingKey\": \"user-1\", \"country\": \"Canada\"}'\n" +
			"  tidegate flag explain new-checkout --key user-1 --file flags.yaml",
		Args: oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			subject, err := subjectOf(given, targetingKey, attributes)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				request := &controlv1.ExplainEvaluationRequest{Environment: c.environment, Context: subject, Region: region}
				if err := c.proposedFrom(request, args[0], files); err != nil {
					return err
				}
				answer, err := read(ctx, c, c.flags.ExplainEvaluation, request)
				if err != nil {
					return err
				}
				return c.show(answer, func(out io.Writer) { c.writeExplanation(out, args[0], answer) })
			})
		},
	}
	f := cmd.Flags()
	o.registerRead(f)
	f.SetNormalizeFunc(attributeNames)
	f.StringVarP(&targetingKey, "key", "k", "", "targeting key: who or what the flag is evaluated for")
	f.StringArrayVarP(&attributes, "attribute", "a", nil, "attribute of the subject, NAME=TEXT or NAME:=JSON; may be repeated")
	f.StringVar(&given, "context", "", "all of the context, as a JSON object; 'targetingKey' in it is the targeting key")
	f.StringVar(&region, "region", "", "region of the relay that would answer")
	f.StringArrayVarP(&files, "file", "f", nil, "file of flags and segments as they would be, or -; may be repeated")
	return cmd
}

// subjectOf is the context that a command was given, in one of two ways.
func subjectOf(given, targetingKey string, attributes []string) (*evaluationv1.EvaluationContext, error) {
	values, err := parseAttributes(attributes)
	switch {
	case err != nil:
		return nil, err
	case given == "":
		return &evaluationv1.EvaluationContext{TargetingKey: targetingKey, Attributes: values}, nil
	case targetingKey != "" || len(attributes) > 0:
		return nil, usagef("pass --context, or --key and --attribute, not both")
	}
	object := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(given), object); err != nil {
		return nil, usagef("--context %s: expected a JSON object such as {\"targetingKey\": \"user-1\", \"country\": \"Canada\"}", given)
	}
	subject := &evaluationv1.EvaluationContext{Attributes: object}
	if key, there := object.GetFields()["targetingKey"]; there {
		text, ok := key.GetKind().(*structpb.Value_StringValue)
		if !ok {
			return nil, usagef("--context: targetingKey is %s; expected a text", valueText(key))
		}
		subject.TargetingKey = text.StringValue
		delete(object.GetFields(), "targetingKey")
	}
	return subject, nil
}

// proposedFrom puts into the request what files say, or the key of a flag that they say nothing of.
func (c *client) proposedFrom(r *controlv1.ExplainEvaluationRequest, key string, files []string) error {
	r.FlagKey = key
	if len(files) == 0 {
		return nil
	}
	d, err := readManifests(c.in, files)
	if err != nil {
		return err
	}
	for _, f := range d.Flags {
		if f.GetKey() == key {
			r.Flag, r.FlagKey = f, ""
		}
	}
	r.Segments = append([]*flagv1.Segment(nil), d.Segments...)
	return nil
}

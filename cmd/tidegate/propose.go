package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// proposing are the flags of writes that can be proposed instead.
type proposing struct {
	possible bool // the command has these flags
	on       bool
	at       string
}

// registerPropose adds --propose to a command that writes.
func (o *clientOptions) registerPropose(f *pflag.FlagSet) {
	o.proposing.possible = true
	f.BoolVar(&o.proposing.on, "propose", false, "write nothing: propose it as a change request, for others to approve")
	o.registerAt(f, "with --propose: ")
}

func (o *clientOptions) registerAt(f *pflag.FlagSet, when string) {
	f.StringVar(&o.proposing.at, "at", "", when+"have it applied then, if it is approved: 2026-12-01T08:00:00Z, or in how long, such as 90m")
}

// applyAt reads --at; nil: when somebody applies it.
func (p *proposing) applyAt(now time.Time) (*timestamppb.Timestamp, error) {
	if p.at == "" {
		return nil, nil
	}
	if in, err := time.ParseDuration(p.at); err == nil && in > 0 {
		return timestamppb.New(now.Add(in)), nil
	}
	at, err := time.Parse(time.RFC3339, p.at)
	if err != nil {
		return nil, usagef("--at %s: want a time such as %s, or in how long, such as 90m", p.at, now.UTC().Format(time.RFC3339))
	}
	return timestamppb.New(at), nil
}

// propose proposes what a command would write.
func (c *client) propose(ctx context.Context, r *controlv1.ProposeChangeRequestRequest) error {
	at, err := c.proposing.applyAt(time.Now())
	if err != nil {
		return err
	}
	r.Environment, r.Reason, r.RequestId, r.ApplyAt = c.environment, c.reason, newRequestID(), at
	response, err := write(ctx, c, c.changeRequests.ProposeChangeRequest, r)
	if err != nil {
		return err
	}
	return c.show(response, func(out io.Writer) {
		number := response.GetChangeRequest().GetNumber()
		fmt.Fprintf(out, "proposed #%d in %s; nothing was written\n", number, c.environment)
		c.writeResults(out, response.GetResults())
		if wanted := response.GetApprovalsRequired(); wanted > 0 {
			fmt.Fprintf(out, "it takes %s: tidegate request approve %d --environment %s\n", counted(int(wanted), "approval"), number, c.environment)
		}
		switch {
		case at != nil:
			fmt.Fprintf(out, "it is applied at %s\n", timeText(at))
		case response.GetApprovalsRequired() == 0:
			fmt.Fprintf(out, "to apply it: tidegate request apply %d --environment %s\n", number, c.environment)
		}
	})
}

// proposal is what a plan would write, as it was shown.
func (p *applyPlan) proposal() *controlv1.ProposeChangeRequestRequest {
	r := &controlv1.ProposeChangeRequestRequest{}
	for _, t := range p.transactions {
		r.Flags, r.Segments, r.Deletes = append(r.Flags, t.flags...), append(r.Segments, t.segments...), append(r.Deletes, t.deletes...)
	}
	return r
}

// writeResults writes what changes, a resource after the other.
func (c *client) writeResults(out io.Writer, results []*controlv1.ApplyResult) {
	for _, r := range results {
		name := kindWord(r.GetKind()) + " " + c.paint.bold(singleLine(r.GetKey()))
		switch r.GetAction() {
		case controlv1.Action_ACTION_CREATED, controlv1.Action_ACTION_STARTED:
			fmt.Fprintf(out, "%s %s\n", c.paint.green("+"), name)
			writeChanges(out, c.paint, "    ", r.GetChanges())
		case controlv1.Action_ACTION_DELETED:
			fmt.Fprintf(out, "%s %s (%s)\n", c.paint.red("-"), name, revisionText(r.GetRevision()))
		default:
			fmt.Fprintf(out, "%s %s (%s)\n", c.paint.yellow("~"), name, revisionText(r.GetRevision()))
			writeChanges(out, c.paint, "    ", r.GetChanges())
		}
	}
}

// lacksApproval tells a refusal of what others have to approve.
func lacksApproval(st *status.Status) bool {
	return slices.ContainsFunc(st.Details(), func(detail any) bool {
		info, ok := detail.(*errdetails.ErrorInfo)
		return ok && info.GetReason() == "NEEDS_APPROVAL"
	})
}

// howToPropose is the command that proposes what this one was refused.
func (c *client) howToPropose() string {
	if !c.proposing.possible {
		return "to propose it: write it in a file, then 'tidegate request propose -f FILE --environment " + c.environment + "'"
	}
	words := make([]string, 0, len(c.args)+2)
	for _, word := range append([]string{"tidegate"}, c.args...) {
		words = append(words, shellWord(word))
	}
	return "to propose it: " + strings.Join(words, " ") + " --propose"
}

// shellWord is a word as a shell takes it.
func shellWord(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@%+"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

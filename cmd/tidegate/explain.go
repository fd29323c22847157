package main

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// explain turns what a call failed with into words for people: what was wrong, where,
// and what to do. Other errors stay as they are.
func (c *client) explain(err error) error {
	return c.explainWith(err, fieldProblem)
}

func fieldProblem(field, problem string) string {
	if field == "" {
		return problem
	}
	return field + ": " + problem
}

// explainWith is explain with another way to show a field that the server objects to.
func (c *client) explainWith(err error, violation func(field, problem string) string) error {
	var unknown *unknownOutcomeError
	if errors.As(err, &unknown) {
		err = unknown.err
	}
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	message := c.explainStatus(st, violation)
	if unknown != nil && notConnected(st) == nil {
		message += "\nwhether it was written is unknown: look at the history, or run the same command again"
	}
	return errors.New(message)
}

func (c *client) explainStatus(st *status.Status, violation func(field, problem string) string) string {
	for _, detail := range st.Details() {
		switch detail := detail.(type) {
		case *controlv1.Conflict:
			return c.explainConflict(detail)
		case *rolloutv1.Frozen:
			return visible(st.Message())
		case *errdetails.BadRequest:
			text := explainViolations(st, detail, violation)
			if lacksApproval(st) {
				text += "\n" + c.howToPropose()
			}
			return text
		}
	}
	if u := notConnected(st); u != nil {
		return c.explainUnconnected(u, st)
	}
	switch st.Code() {
	case codes.Unavailable:
		return fmt.Sprintf("%s cannot answer: %s", c.address, visible(st.Message()))
	case codes.DeadlineExceeded:
		return fmt.Sprintf("%s did not answer within %s", c.address, c.timeout)
	case codes.Canceled:
		return errInterrupted.Error()
	case codes.Unimplemented:
		return fmt.Sprintf("%s does not offer this: control servers listen on port 7013, relays on 8013 (%s)", c.address, visible(st.Message()))
	case codes.Unauthenticated:
		return visible(st.Message()) + c.presented
	case codes.NotFound, codes.AlreadyExists, codes.OutOfRange, codes.InvalidArgument, codes.FailedPrecondition, codes.Aborted:
		return visible(st.Message())
	}
	return fmt.Sprintf("%s (%s)", visible(st.Message()), st.Code())
}

// explainConflict says who was first, with what, and what to do now.
func (c *client) explainConflict(conflict *controlv1.Conflict) string {
	var b strings.Builder
	name := kindWord(conflict.GetKind()) + " " + conflict.GetKey()
	switch {
	case conflict.GetBaseRevision() == 0:
		fmt.Fprintf(&b, "%s is already there in %s, at revision %d", name, conflict.GetEnvironment(), conflict.GetCurrentRevision())
	case conflict.GetCurrentRevision() == 0:
		fmt.Fprintf(&b, "%s is no longer there in %s", name, conflict.GetEnvironment())
	default:
		fmt.Fprintf(&b, "%s in %s is no longer at revision %d but at %d", name, conflict.GetEnvironment(), conflict.GetBaseRevision(), conflict.GetCurrentRevision())
	}
	b.WriteString("; nothing was written\n")
	if latest := conflict.GetLatest(); latest != nil {
		fmt.Fprintf(&b, "  %s, %s: %s %s it: %s\n", revisionText(latest.GetRevision()), timeText(latest.GetTime()),
			actorText(latest.GetActor()), actionWord(latest.GetAction()), visible(latest.GetReason()))
	}
	writeChanges(&b, paint{}, "  ", conflict.GetChanges())
	switch conflict.GetKind() {
	case controlv1.ResourceKind_RESOURCE_KIND_KEY:
		b.WriteString("look at it ('tidegate key list'), then run the command again")
		return b.String()
	case controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT:
		fmt.Fprintf(&b, "look at it ('tidegate environment get %s'), then run the command again", conflict.GetKey())
		return b.String()
	case controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT:
		fmt.Fprintf(&b, "look at it ('tidegate rollout status %s --environment %s'), then run the command again", conflict.GetKey(), conflict.GetEnvironment())
		return b.String()
	}
	fmt.Fprintf(&b, "look at it ('tidegate %s get %s --environment %s'), then run the command again",
		kindWord(conflict.GetKind()), conflict.GetKey(), conflict.GetEnvironment())
	return b.String()
}

// explainViolations is one line for each field.
func explainViolations(st *status.Status, bad *errdetails.BadRequest, violation func(field, problem string) string) string {
	lines := []string{"the server refuses this; nothing was written"}
	if st.Code() == codes.FailedPrecondition {
		lines[0] = "this does not fit with what is there; nothing was written"
	}
	for _, v := range bad.GetFieldViolations() {
		lines = append(lines, "  "+visible(violation(v.GetField(), v.GetDescription())))
	}
	if len(lines) == 1 {
		lines = append(lines, "  "+visible(st.Message()))
	}
	return strings.Join(lines, "\n")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	// defaultReceiptWait is how long a kill switch waits for the relays.
	defaultReceiptWait = 5 * time.Second
	// shownMissing is how many relays a sentence names.
	shownMissing = 5
	// slack is what an answer may take beyond the wait that was asked for.
	slack = 5 * time.Second
)

// receipt is how many relays have applied a revision.
type receipt struct {
	last *controlv1.WaitAppliedResponse
	// after is how long it took until as many had it as do.
	after time.Duration
}

// awaitRelays waits until enough relays have a revision, and shows the progress to people.
// Time counts from now on.
func (c *client) awaitRelays(ctx context.Context, r *controlv1.WaitAppliedRequest) (*receipt, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.GetTimeout().AsDuration()+slack)
	defer cancel()
	stream, err := c.fleet.WaitApplied(ctx, r)
	if err != nil {
		return nil, err
	}
	progress := isTerminal(c.err)
	got := &receipt{}
	for !got.last.GetLast() {
		answer, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil, errors.New("the server has ended its answer early")
		case err != nil:
			return nil, err
		}
		if got.last == nil || answer.GetApplied() != got.last.GetApplied() {
			got.after = time.Since(began)
		}
		got.last = answer
		if progress && !answer.GetLast() {
			fmt.Fprintf(c.err, "\r\x1b[K%d of %d relays", answer.GetApplied(), answer.GetTotal())
		}
	}
	if progress {
		fmt.Fprint(c.err, "\r\x1b[K")
	}
	return got, nil
}

// sentence says who has it, and who does not.
func (r *receipt) sentence(done, environment string, now time.Time) string {
	if r.last.GetTotal() == 0 {
		return nobodyFollows(environment)
	}
	text := fmt.Sprintf("%s on %d of %d relays after %s", done, r.last.GetApplied(), r.last.GetTotal(), durationText(r.after))
	missing := r.last.GetMissing()
	if len(missing) == 0 {
		return text
	}
	names := make([]string, 0, shownMissing)
	for _, m := range missing[:min(len(missing), shownMissing)] {
		names = append(names, missingText(m, environment, now))
	}
	text += "; missing: " + strings.Join(names, ", ")
	if more := int(r.last.GetTotal()-r.last.GetApplied()) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func missingText(r *controlv1.Relay, environment string, now time.Time) string {
	var about []string
	if r.GetRegion() != "" {
		about = append(about, "region "+singleLine(r.GetRegion()))
	}
	if !r.GetConnected() {
		about = append(about, lastSeen(r, now))
	} else {
		about = append(about, "connected")
	}
	for _, e := range r.GetEnvironments() {
		switch {
		case e.GetEnvironment() != environment:
		case e.GetNewestRejection() > 0:
			about = append(about, fmt.Sprintf("cannot use what was written at %s: an earlier version is in force there", revisionText(e.GetNewestRejection())))
		case r.GetConnected() && e.GetCursor() != nil:
			about = append(about, "at "+revisionText(e.GetCursor().GetRevision()))
		}
	}
	return singleLine(r.GetInstanceId()) + " (" + strings.Join(about, ", ") + ")"
}

// enforced waits for the relays to have what was just written, and says how it went. That
// it was written stands, whatever comes of this.
func (c *client) enforced(ctx context.Context, done string, revision int64, wait time.Duration) string {
	r, err := c.awaitRelays(ctx, &controlv1.WaitAppliedRequest{
		Environment: c.environment, Revision: revision, Timeout: durationpb.New(wait),
	})
	if err != nil {
		fmt.Fprintf(c.err, "warning: it is not known which relays have it: %s\n", describe(c.explain(err)))
		return ""
	}
	c.warnUnreachable(r.last.GetUnreachableServers())
	if !r.last.GetReached() {
		fmt.Fprintf(c.err, "warning: not every relay has it: 'tidegate relay wait --environment %s --revision %d' waits for the others\n", c.environment, revision)
	}
	return ": " + r.sentence(done, c.environment, time.Now())
}

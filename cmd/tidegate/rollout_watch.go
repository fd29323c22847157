package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

func newRolloutWatchCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "watch KEY",
		Short:   "Show a rollout and its evidence as they change, until it is over",
		Example: "  tidegate rollout watch new-checkout-1",
		Long: "Show a rollout and its evidence as they change, until it is over. The exit code is 0 where\n" +
			"the rollout was completed, 1 where it ended otherwise: a pipeline can wait for it.",
		Args: oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.watchRollout(ctx, args[0])
			})
		},
	}
	o.registerRead(cmd.Flags())
	return cmd
}

// watchRollout follows a rollout to its end. A watch that worked once is opened again when it
// breaks.
func (c *client) watchRollout(ctx context.Context, key string) error {
	w := &rolloutWatch{client: c, wait: c.retryWait, redraws: c.output == outputTable && isTerminal(c.out)}
	for {
		err := w.once(ctx, key)
		switch {
		case err == nil:
			return w.ended()
		case ctx.Err() != nil:
			return nil //nolint:nilerr // to be stopped is how a watch ends
		case w.last == nil || status.Code(err) != codes.Unavailable:
			return err
		}
		fmt.Fprintf(c.err, "%s; watching again\n", c.explain(err))
		w.lines = 0 // what was said stays
		select {
		case <-time.After(w.wait):
			w.wait = min(2*w.wait, longestWatchWait)
		case <-ctx.Done():
			return nil
		}
	}
}

// rolloutWatch is what a watch has shown.
type rolloutWatch struct {
	*client
	wait    time.Duration
	redraws bool
	lines   int // of the block on the terminal
	line    string
	last    *controlv1.WatchRolloutResponse
}

func (w *rolloutWatch) once(ctx context.Context, key string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.rollouts.WatchRollout(ctx, &controlv1.WatchRolloutRequest{Environment: w.environment, Key: key})
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && w.last != nil && !rollout.Active(w.last.GetRollout().GetRollout()):
			return nil
		case errors.Is(err, io.EOF):
			return status.Error(codes.Unavailable, "the watch ended")
		case err != nil:
			return err
		}
		w.last, w.wait = answer, w.retryWait
		if err := w.shown(answer); err != nil {
			return err
		}
	}
}

// shown shows an answer: in place of the one before on a terminal, else as a line, if that
// says something new.
func (w *rolloutWatch) shown(answer *controlv1.WatchRolloutResponse) error {
	switch {
	case w.output == outputJSON:
		return writeJSONLine(w.out, answer)
	case w.output == outputYAML:
		if _, err := fmt.Fprintln(w.out, "---"); err != nil {
			return err
		}
		return writeYAML(w.out, answer)
	case w.redraws:
		var b bytes.Buffer
		if w.lines > 0 {
			fmt.Fprintf(&b, "\x1b[%dA\x1b[J", w.lines)
		}
		block := w.block(answer)
		b.WriteString(block)
		w.lines = strings.Count(block, "\n")
		_, err := w.out.Write(b.Bytes())
		return err
	}
	line := w.text(answer)
	if line == w.line {
		return nil
	}
	w.line = line
	_, err := fmt.Fprintf(w.out, "%s  %s\n", w.paint.dim(timeText(timestamppb.Now())), line)
	return err
}

func (w *rolloutWatch) block(answer *controlv1.WatchRolloutResponse) string {
	var b strings.Builder
	w.writeRollout(&b, answer.GetRollout(), answer.GetAssessment())
	return b.String()
}

// text is such as 'running at 5%, stage 2 of 5: Held at 5%: ...'.
func (w *rolloutWatch) text(answer *controlv1.WatchRolloutResponse) string {
	r := answer.GetRollout().GetRollout()
	state := w.rolloutStateCell(r.GetStatus().GetState())
	text := fmt.Sprintf("%s at %s, stage %s", state.paint(state.text), servedShare(r), stageText(r))
	says := assessmentText(answer.GetAssessment())
	if says == "" {
		says = singleLine(r.GetStatus().GetHeadline())
	}
	if says != "" {
		text += ": " + says
	}
	return text
}

// ended is how a rollout that is over ended: an error, unless it was completed.
func (w *rolloutWatch) ended() error {
	r := w.last.GetRollout().GetRollout()
	if r.GetStatus().GetState() == rolloutv1.State_STATE_COMPLETED {
		return nil
	}
	text := fmt.Sprintf("%s was %s", r.GetKey(), rolloutState(r.GetStatus().GetState()))
	if headline := singleLine(r.GetStatus().GetHeadline()); headline != "" && r.GetStatus().GetState() == rolloutv1.State_STATE_ROLLED_BACK {
		text += ": " + headline
	}
	return errors.New(text)
}

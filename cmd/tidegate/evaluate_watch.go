package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// longestWatchWait is the longest wait before a watch that broke is opened again.
const longestWatchWait = 10 * time.Second

// watch shows the answers and what changes, until its user stops it. A watch that
// worked once is opened again when it breaks.
func (c *client) watch(ctx context.Context, e evaluation) error {
	worked := false
	wait := c.retryWait
	for {
		err := c.watchOnce(ctx, e, func() { worked, wait = true, c.retryWait })
		if ctx.Err() != nil {
			return nil //nolint:nilerr // to be stopped is how a watch ends
		}
		if !worked || status.Code(err) != codes.Unavailable {
			return err
		}
		fmt.Fprintf(c.err, "%s; watching again\n", c.explain(err))
		select {
		case <-time.After(wait):
			wait = min(2*wait, longestWatchWait)
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *client) watchOnce(ctx context.Context, e evaluation, working func()) error {
	request := &evaluationv1.WatchRequest{Environment: e.environment, Context: e.subject, KeyPrefix: e.prefix}
	if e.key != "" {
		request.FlagKeys = []string{e.key}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.evaluations.Watch(ctx, request)
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		answers, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return status.Error(codes.Unavailable, "the watch ended")
		case err != nil:
			return err
		}
		working()
		if err := c.showWatched(answers, first); err != nil {
			return err
		}
	}
}

func (c *client) showWatched(answers *evaluationv1.WatchResponse, first bool) error {
	switch c.output {
	case outputJSON:
		return writeJSONLine(c.out, answers)
	case outputYAML:
		if _, err := fmt.Fprintln(c.out, "---"); err != nil {
			return err
		}
		return writeYAML(c.out, answers)
	}
	var b bytes.Buffer
	mark := c.paint.yellow("~")
	if first {
		mark = "="
	}
	for _, a := range answers.GetEvaluations() {
		value := c.paint.green(answerValue(a)) + "  " + singleLine(a.GetReason())
		if a.GetErrorCode() != "" {
			value = c.paint.red(singleLine(a.GetErrorMessage())) + "  " + singleLine(a.GetErrorCode())
		}
		if a.GetRule() != "" {
			value += " " + singleLine(a.GetRule())
		}
		fmt.Fprintf(&b, "%s %s = %s  %s\n", mark, c.paint.bold(singleLine(a.GetFlagKey())), value,
			c.paint.dim("("+revisionText(answers.GetEnvironmentRevision())+")"))
	}
	_, err := c.out.Write(b.Bytes())
	return err
}

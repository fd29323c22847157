package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/filesource"
	"github.com/tidegate/tidegate/internal/manifest"
)

// applyWatch follows files: what they say is applied whenever it changes, and again every
// while, as the environment may have changed.
type applyWatch struct {
	*client
	paths  []string
	files  fileOptions
	enable bool
	// every is between two looks at the environment; again, between two tries after a failure.
	every, again time.Duration

	// wanted is what the files say, nil before they say anything sound.
	wanted *manifest.Document
	// problem is what was told last, so that it is told once.
	problem string
}

const (
	watchEvery = time.Minute
	watchAgain = 5 * time.Second
)

// content is what files hold, or why they cannot be read.
type content struct {
	files []filesource.File
	err   error
}

// run follows the files until ctx ends.
func (w *applyWatch) run(ctx context.Context) error {
	if err := w.confirmFirst(ctx); err != nil {
		return err
	}
	contents := make(chan content)
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		return filesource.Follow(ctx, w.paths, func(files []filesource.File, err error) {
			select {
			case contents <- content{files, err}:
			case <-ctx.Done():
			}
		})
	})
	all.Go(func() error {
		wait := time.NewTimer(w.every)
		defer wait.Stop()
		for {
			select {
			case c := <-contents:
				if !w.take(c) {
					continue
				}
			case <-wait.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			next := w.every
			if !w.bring(ctx) {
				next = min(w.again, w.every)
			}
			wait.Reset(next)
		}
	})
	err := all.Wait()
	if errors.Is(err, context.Canceled) {
		return nil // the user has stopped it
	}
	return err
}

// confirmFirst asks at once what a write would ask later, when nobody may be there. That no server
// answers is no reason to end: it is told by whoever needs one, again and again.
func (w *applyWatch) confirmFirst(ctx context.Context) error {
	_, err := w.confirmProtected(ctx, writingInto(w.environment))
	if _, ofCall := status.FromError(err); ofCall {
		return nil
	}
	return err
}

// take makes what the files hold what is wanted, if all of it is sound: else what they said
// before still is.
func (w *applyWatch) take(c content) bool {
	d, err := filesourceDocument(c)
	if err != nil {
		w.tell("the files are not applied; what they said before stays:\n" + visible(err.Error()))
		return false
	}
	w.wanted = d
	return true
}

func filesourceDocument(c content) (*manifest.Document, error) {
	if c.err != nil {
		return nil, c.err
	}
	d, err := filesource.Parse(c.files)
	if err == nil && len(d.Flags)+len(d.Segments) == 0 {
		err = errors.New("they hold no flags and no segments")
	}
	return d, err
}

// bring brings the environment to what is wanted; false: it could not be.
func (w *applyWatch) bring(ctx context.Context) bool {
	if w.wanted == nil {
		return true
	}
	p, err := w.prepare(ctx, w.wanted, w.files)
	if err == nil && len(p.transactions) > 0 {
		err = w.checkRevivals(ctx, p, w.enable)
	}
	if err == nil && len(p.transactions) > 0 {
		if err = w.writePlan(p, false); err == nil {
			err = w.commit(ctx, p, w.wanted)
		}
	}
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		w.tell(w.explainWith(err, inFile(w.wanted)).Error())
		return false
	case len(p.transactions) > 0:
		fmt.Fprintf(w.out, "applied to %s at revision %d\n", w.environment, p.response().GetRevision())
	case w.problem != "":
		fmt.Fprintf(w.out, "%s is as the files say\n", w.environment)
	}
	w.problem = ""
	return true
}

// tell writes a problem, once.
func (w *applyWatch) tell(problem string) {
	if problem != w.problem {
		fmt.Fprintf(w.err, "%s %s\n", w.paint.yellow("warning:"), problem)
	}
	w.problem = problem
}

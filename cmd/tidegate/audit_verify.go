package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/audit"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newAuditHeadCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:   "head",
		Short: "Print what identifies the trails now, to be kept elsewhere",
		Long: "Print what identifies the trails up to their newest seals, one JSON line each. Kept where\n" +
			"nobody who could change the store can change it, and given back to 'tidegate audit verify\n" +
			"--head FILE', it proves that no trail was cut short since, or rewritten as a whole.",
		Example: "  tidegate audit head >> audit-heads.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				trails, err := c.trails(ctx)
				if err != nil {
					return err
				}
				for _, name := range trails {
					answer, err := read(ctx, c, c.audit.GetTrailHead, &controlv1.GetTrailHeadRequest{Environment: name})
					if err != nil {
						return err
					}
					if answer.GetHead() == nil {
						continue
					}
					if err := writeJSONLine(c.out, answer.GetHead()); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	o.registerTrails(cmd)
	return cmd
}

// registerTrails adds --environment for one trail, or all.
func (o *clientOptions) registerTrails(cmd *cobra.Command) {
	o.registerServer(cmd.Flags())
	cmd.Flags().StringVarP(&o.environment, "environment", "e", os.Getenv(environmentVariable), trailHelp+" (default: all trails)")
}

// trails are the one that was named, or all.
func (c *client) trails(ctx context.Context) ([]string, error) {
	if c.environment != "" {
		return []string{c.environment}, nil
	}
	response, err := read(ctx, c, c.environments.ListEnvironments, &controlv1.ListEnvironmentsRequest{})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range response.GetEnvironments() {
		all = append(all, e.GetName())
	}
	return append(all, trailAccess, trailStore), nil
}

func newAuditVerifyCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		from  string
		heads []string
	)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that nothing was removed from the trails, changed in them or put into them",
		Long: "Read the trails, entries and seals, compute all of it anew, and say the first thing that is\n" +
			"wrong, and where. With --from, an export is read in place of a server. With --head, what\n" +
			"'tidegate audit head' printed earlier must still be part of the trails: without it, a trail\n" +
			"that somebody cut short or rewrote as a whole, with its seals, looks like any other.",
		Example: "  tidegate audit verify --head audit-heads.jsonl\n  tidegate audit verify --from production.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kept, err := readHeads(heads)
			if err != nil {
				return err
			}
			if from != "" {
				c := &client{streams: streams, clientOptions: o, paint: newPaint(streams.out, o.noColor)}
				return c.verifyFile(from, kept)
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				trails, err := c.trails(ctx)
				if err != nil {
					return err
				}
				for _, name := range trails {
					if err := c.verifyTrail(ctx, name, kept); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	o.registerTrails(cmd)
	cmd.Flags().StringVar(&from, "from", "", "`file` that 'tidegate audit export' wrote")
	cmd.Flags().StringSliceVar(&heads, "head", nil, "`file` with what 'tidegate audit head' printed")
	return cmd
}

// readHeads reads what was kept.
func readHeads(files []string) ([]*controlv1.TrailHead, error) {
	var kept []*controlv1.TrailHead
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, usagef("--head: %v", err)
		}
		for i, line := range bytes.Split(data, []byte("\n")) {
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			head := new(controlv1.TrailHead)
			if err := protojson.Unmarshal(line, head); err != nil || head.GetNumber() == 0 {
				return nil, usagef("--head %s, line %d: not what 'tidegate audit head' prints", name, i+1)
			}
			kept = append(kept, head)
		}
		if len(kept) == 0 {
			return nil, usagef("--head %s: there is none in it", name)
		}
	}
	return kept, nil
}

func (c *client) verifyTrail(ctx context.Context, name string, kept []*controlv1.TrailHead) error {
	v := audit.NewVerifier(name, kept...)
	var head *controlv1.TrailHead
	var wrong error
	err := c.trail(ctx, name, func(r *controlv1.ExportTrailResponse) error {
		if r.GetHead() != nil {
			head = r.GetHead()
		}
		for _, e := range r.GetEntries() {
			if wrong = v.Entry(e); wrong != nil {
				return wrong
			}
		}
		for _, s := range r.GetSeals() {
			if wrong = v.Seal(s); wrong != nil {
				return wrong
			}
		}
		return nil
	})
	switch {
	case wrong != nil:
		return fmt.Errorf("the audit trail of %s is not whole: %w", name, wrong)
	case err != nil:
		return err
	}
	return c.proven(v, name, head)
}

// proven says what a trail was proved to be.
func (c *client) proven(v *audit.Verifier, name string, head *controlv1.TrailHead) error {
	p, err := v.End(head)
	if err != nil {
		return fmt.Errorf("the audit trail of %s is not whole: %w", name, err)
	}
	c.tellProven(name, p)
	return nil
}

func (c *client) tellProven(name string, p audit.Proven) {
	if p.Head == nil {
		fmt.Fprintf(c.out, "%s: nothing is sealed yet; %d entries, whose histories are whole\n", name, p.Unsealed)
		return
	}
	fmt.Fprintf(c.out, "%s: %s, %d entries in %d seals, through revision %d", name, c.paint.green("whole"), p.Head.GetEntries(), p.Head.GetNumber(), p.Head.GetThroughRevision())
	if p.Unsealed > 0 {
		fmt.Fprintf(c.out, "; %d newer ones are not sealed yet", p.Unsealed)
	}
	if p.Kept > 0 {
		fmt.Fprintf(c.out, "; what was kept is part of it")
	}
	fmt.Fprintln(c.out)
}

// verifyFile proves an export.
func (c *client) verifyFile(name string, kept []*controlv1.TrailHead) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := json.NewDecoder(bufio.NewReader(f))
	var (
		v     *audit.Verifier
		trail string
		head  *controlv1.TrailHead
	)
	for n := 1; ; n++ {
		var line trailLine
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF) && v != nil:
			return c.proven(v, trail, head)
		case err != nil:
			return fmt.Errorf("%s, line %d: %w", name, n, err)
		case v == nil && line.Trail == "":
			return fmt.Errorf("%s, line %d: expected what 'tidegate audit export' writes: a line that names the trail", name, n)
		case v == nil:
			v, trail = audit.NewVerifier(line.Trail, kept...), line.Trail
			if len(line.Head) > 0 {
				head = new(controlv1.TrailHead)
				if err := protojson.Unmarshal(line.Head, head); err != nil {
					return fmt.Errorf("%s, line %d: %w", name, n, err)
				}
			}
		default:
			if err := line.verify(v); err != nil {
				return fmt.Errorf("the audit trail of %s in %s is not whole: line %d: %w", trail, name, n, err)
			}
		}
	}
}

// verify proves what is stored, and that the readable form says the same.
func (l *trailLine) verify(v *audit.Verifier) error {
	if l.Key == "" {
		if err := v.Seal(l.Stored); err != nil {
			return err
		}
		return sameAs(l.Seal, new(controlv1.Seal), l.Stored, 0)
	}
	if err := v.Entry(&controlv1.StoredEntry{Key: l.Key, Revision: l.Revision, Stored: l.Stored}); err != nil {
		return err
	}
	return sameAs(l.Entry, new(controlv1.AuditEntry), l.Stored, l.Revision)
}

// sameAs compares a readable form, if there is one, with what was proved.
func sameAs(readable json.RawMessage, m proto.Message, stored []byte, revision int64) error {
	if len(readable) == 0 {
		return nil
	}
	proved := m.ProtoReflect().New().Interface()
	if err := errors.Join(protojson.Unmarshal(readable, m), proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(stored, proved)); err != nil {
		return err
	}
	if e, ok := proved.(*controlv1.AuditEntry); ok {
		e.Revision = revision
	}
	if !proto.Equal(m, proved) {
		return errors.New("the readable form was changed: it does not say what is stored, which is proved")
	}
	return nil
}

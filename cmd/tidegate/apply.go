package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/manifest"
)

func newApplyCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		paths  []string
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Bring flags and segments to what files say",
		Long: "Bring flags and segments to what files say: create what is not there, change what\n" +
			"differs, and leave alone what the files do not name.\n\n" +
			"Files are validated first; what would change is shown; then it is written, in one\n" +
			"transaction for up to 30 flags and segments that differ. Applying again changes nothing.",
		Example: "  tidegate apply -f examples/flags.yaml --environment staging --reason \"first flags\"\n" +
			"  tidegate apply -f flags/ --environment production --dry-run\n" +
			"  tidegate export --environment staging | tidegate apply -f - --environment dev --reason \"as in staging\"",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(paths) == 0 {
				return usagef("say what to apply: -f FILE, a folder, or - for the standard input")
			}
			if err := o.requireWrite(); err != nil && (!dryRun || o.environment == "") {
				return err
			}
			d, err := readManifests(streams.in, paths)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.explainWith(c.apply(ctx, d, dryRun), inFile(d))
			})
		},
	}
	f := cmd.Flags()
	o.registerWrite(f)
	f.StringArrayVarP(&paths, "filename", "f", nil, "file, folder (all *.yaml and *.yml in it), or - ; may be repeated")
	f.BoolVar(&dryRun, "dry-run", false, "only show what would change")
	return cmd
}

func (c *client) apply(ctx context.Context, d *manifest.Document, dryRun bool) error {
	if len(d.Flags)+len(d.Segments) == 0 {
		return errors.New("the files hold no flags and no segments")
	}
	p, err := c.plan(ctx, d)
	if err != nil {
		return err
	}
	if c.output == outputTable {
		if err := c.writePlan(p); err != nil {
			return err
		}
	}
	c.warnOfEnabling(ctx, p)
	if !dryRun {
		if err := c.commit(ctx, p, d); err != nil {
			return err
		}
	}
	return c.show(p.response(), func(out io.Writer) {
		switch revision := p.response().GetRevision(); {
		case len(p.transactions) == 0:
			fmt.Fprintf(out, "%s is as the files say; nothing was written\n", c.environment)
		case dryRun:
			fmt.Fprintln(out, "nothing was written (--dry-run)")
		default:
			fmt.Fprintf(out, "applied to %s at revision %d\n", c.environment, revision)
		}
	})
}

// commit writes one transaction after the other, on condition that everything is still
// as it was shown.
func (c *client) commit(ctx context.Context, p *applyPlan, d *manifest.Document) error {
	for i, t := range p.transactions {
		response, err := write(ctx, c, c.flags.Apply, &controlv1.ApplyRequest{
			Environment: c.environment, Segments: t.segments, Flags: t.flags, Reason: c.reason, RequestId: newRequestID(),
		})
		if err != nil {
			if len(p.transactions) == 1 {
				return err
			}
			return errors.New(c.explainWith(err, inFile(d)).Error() + "\n" + p.progress(i))
		}
		t.results = response.GetResults()
		t.revision = response.GetRevision()
	}
	return nil
}

// progress says what was written before transaction number i failed, and what was not.
func (p *applyPlan) progress(i int) string {
	var written, missing []string
	for j, t := range p.transactions {
		for _, r := range t.results {
			name := kindWord(r.GetKind()) + " " + r.GetKey()
			if j < i {
				written = append(written, name)
			} else {
				missing = append(missing, name)
			}
		}
	}
	text := "written before that: "
	if len(written) == 0 {
		text += "nothing"
	} else {
		text += strings.Join(written, ", ")
	}
	return text + "\nnot written: " + strings.Join(missing, ", ") +
		"\nrun the command again when the cause is removed: what is written already stays as it is"
}

// response is the whole plan as one answer: its revision is that of the last
// transaction.
func (p *applyPlan) response() *controlv1.ApplyResponse {
	response := &controlv1.ApplyResponse{}
	for _, t := range p.transactions {
		response.Results = append(response.Results, t.results...)
		response.Revision = max(response.GetRevision(), t.revision)
	}
	response.Results = append(response.Results, p.unchanged...)
	return response
}

// writePlan shows what would be written.
func (c *client) writePlan(p *applyPlan) error {
	var b bytes.Buffer
	created, changed := 0, 0
	for _, t := range p.transactions {
		for _, r := range t.results {
			name := kindWord(r.GetKind()) + " " + c.paint.bold(singleLine(r.GetKey()))
			if r.GetAction() == controlv1.Action_ACTION_CREATED {
				created++
				fmt.Fprintf(&b, "%s %s\n", c.paint.green("+"), name)
				continue
			}
			changed++
			fmt.Fprintf(&b, "%s %s (%s)\n", c.paint.yellow("~"), name, revisionText(r.GetRevision()))
			writeChanges(&b, c.paint, "    ", r.GetChanges())
		}
	}
	for _, r := range p.unchanged {
		fmt.Fprintf(&b, "%s\n", c.paint.dim("= "+kindWord(r.GetKind())+" "+singleLine(r.GetKey())))
	}
	fmt.Fprintf(&b, "%s: %d to create, %d to change, %d unchanged", c.environment, created, changed, len(p.unchanged))
	if n := len(p.transactions); n > 1 {
		fmt.Fprintf(&b, "; in %d transactions", n)
	}
	b.WriteString("\n")
	_, err := c.out.Write(b.Bytes())
	return err
}

// warnOfEnabling tells of flags that someone turned off by hand and that the files turn
// on again.
func (c *client) warnOfEnabling(ctx context.Context, p *applyPlan) {
	for _, r := range p.response().GetResults() {
		if r.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_FLAG || !enables(r) {
			continue
		}
		history, err := read(ctx, c, c.flags.ListFlagHistory, &controlv1.ListFlagHistoryRequest{
			Environment: c.environment, FlagKey: r.GetKey(), PageSize: largestPage,
		})
		if err != nil { // only the warning is lost
			continue
		}
		if e := lastSwitch(history.GetEntries()); e.GetAction() == controlv1.Action_ACTION_DISABLED {
			fmt.Fprintf(c.err, "%s the files enable %s, which %s disabled at %s: %s\n", c.paint.yellow("warning:"), singleLine(r.GetKey()),
				actorText(e.GetActor()), timeText(e.GetTime()), singleLine(e.GetReason()))
		}
	}
}

// lastSwitch is the newest entry that changed whether the flag is enabled.
func lastSwitch(entries []*controlv1.AuditEntry) *controlv1.AuditEntry {
	for _, e := range entries {
		for _, change := range e.GetChanges() {
			if change.GetPath() == "enabled" {
				return e
			}
		}
	}
	return nil
}

func enables(r *controlv1.ApplyResult) bool {
	for _, change := range r.GetChanges() {
		if change.GetPath() == "enabled" && change.GetBefore() == "false" && change.GetAfter() == "true" {
			return r.GetAction() == controlv1.Action_ACTION_UPDATED
		}
	}
	return false
}

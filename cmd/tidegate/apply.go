package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/manifest"
)

func newApplyCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		paths  []string
		dryRun bool
		files  fileOptions
		enable bool
		watch  bool
	)
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Bring flags and segments to what files say",
		Long: "Bring flags and segments to what files say: create what is not there, change what\n" +
			"differs, and leave alone what the files do not name. Files are in the form that\n" +
			"'tidegate export' writes, or flagd definitions, both as YAML or JSON.\n\n" +
			"Files are validated first; what would change is shown; then it is written, in one\n" +
			"transaction for up to 30 flags and segments that differ. Applying again changes nothing.\n\n" +
			"Where the files turn on a flag that someone turned off by hand, nothing is written\n" +
			"unless --enable is given: a job that runs by itself does not undo a kill switch.\n\n" +
			"With --propose nothing is written: what differs becomes a change request, for others to\n" +
			"approve ('tidegate request --help').\n\n" +
			"With --source the files are those that the environment's settings say flags are kept in\n" +
			"('tidegate environment set --file-source'): then nothing else changes these flags, and\n" +
			"--prune deletes what is kept there and is in the files no more.\n\n" +
			"With --watch the files are followed, once they are at rest. Where they are broken, or gone,\n" +
			"that is told once, and what they said before stays. Replace files by a rename: a writer\n" +
			"that pauses inside of one can be seen by half.",
		Example: "  tidegate apply -f examples/flags.yaml --environment staging --reason \"first flags\"\n" +
			"  tidegate apply -f flags/ --environment production --dry-run\n" +
			"  tidegate apply -f flags/ --environment production --source checkout --prune --reason \"$COMMIT\"\n" +
			"  tidegate apply -f flagd.json --environment dev --reason \"from flagd\"\n" +
			"  tidegate export --environment staging | tidegate apply -f - --environment dev --reason \"as in staging\"",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(paths) == 0 {
				return usagef("say what to apply: -f FILE, a folder, or - for the standard input")
			}
			if err := files.check(); err != nil {
				return err
			}
			if err := o.requireWrite(); err != nil && (!dryRun || o.environment == "") {
				return err
			}
			if o.proposing.on && (watch || files.source != "") {
				return usagef("--propose and --watch or --source: what is kept in files is reviewed where they are")
			}
			if watch {
				if dryRun || slices.Contains(paths, "-") || o.output != outputTable {
					return usagef("--watch follows files and writes: leave out --dry-run, --output and the standard input")
				}
				return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
					w := &applyWatch{client: c, paths: paths, files: files, enable: enable, every: watchEvery, again: watchAgain}
					return w.run(ctx)
				})
			}
			d, err := readManifests(streams.in, paths)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.explainWith(c.apply(ctx, d, files, dryRun, enable), inFile(d))
			})
		},
	}
	f := cmd.Flags()
	o.registerWrite(f)
	f.StringArrayVarP(&paths, "filename", "f", nil, filesUsage)
	f.StringVar(&files.source, "source", "", "the files are those of this source, as the environment's settings say")
	f.BoolVar(&files.prune, "prune", false, "with --source: delete what is kept there and is not in the files")
	f.BoolVar(&files.force, "force", false, "with --prune: delete flags although they are evaluated")
	f.BoolVar(&watch, "watch", false, "go on: apply the files whenever they change, and again each minute")
	f.BoolVar(&enable, "enable", false, "also turn on flags that someone turned off by hand")
	f.BoolVar(&dryRun, "dry-run", false, "only show what would change")
	o.registerPropose(f)
	return cmd
}

func (c *client) apply(ctx context.Context, d *manifest.Document, files fileOptions, dryRun, enable bool) error {
	if len(d.Flags)+len(d.Segments) == 0 {
		return errors.New("the files hold no flags and no segments")
	}
	p, err := c.prepare(ctx, d, files)
	if err != nil {
		return err
	}
	if c.output == outputTable && (!c.proposing.on || dryRun) { // what is proposed is shown as such
		if err := c.writePlan(p, true); err != nil {
			return err
		}
		if dryRun && len(p.transactions) > 0 {
			c.tellImpact(ctx, c.out, impactOf(p))
		}
	}
	refused := c.checkRevivals(ctx, p, enable)
	if refused != nil && !dryRun {
		return refused
	}
	if c.proposing.on && !dryRun && len(p.transactions) > 0 {
		return c.propose(ctx, p.proposal())
	}
	if !dryRun {
		if err := c.commit(ctx, p, d); err != nil {
			return err
		}
	}
	if err := c.show(p.response(), func(out io.Writer) {
		switch revision := p.response().GetRevision(); {
		case len(p.transactions) == 0:
			fmt.Fprintf(out, "%s is as the files say; nothing was written\n", c.environment)
		case dryRun:
			fmt.Fprintln(out, "nothing was written (--dry-run)")
		default:
			fmt.Fprintf(out, "applied to %s at revision %d\n", c.environment, revision)
		}
	}); err != nil {
		return err
	}
	return refused // what a dry run shows is what would happen
}

// prepare works out what is to be written and deleted.
func (c *client) prepare(ctx context.Context, d *manifest.Document, files fileOptions) (*applyPlan, error) {
	deletes, err := c.pruned(ctx, d, files)
	if err != nil {
		return nil, err
	}
	p, err := c.plan(ctx, d, files.source, deletes)
	if err != nil || files.source == "" {
		return p, err
	}
	return p, c.drift(ctx, p)
}

// commit writes one transaction after the other, on condition that everything is still
// as it was shown.
func (c *client) commit(ctx context.Context, p *applyPlan, d *manifest.Document) error {
	for i, t := range p.transactions {
		response, err := write(ctx, c, c.flags.Apply, &controlv1.ApplyRequest{
			Environment: c.environment, Segments: t.segments, Flags: t.flags, Deletes: t.deletes, Source: p.source,
			Reason: c.reason, RequestId: newRequestID(),
		})
		if err != nil {
			if len(p.transactions) == 1 {
				return err
			}
			return errors.New(c.explainWith(err, inFile(d)).Error() + "\n" + p.progress(i, status.Code(err)))
		}
		t.results = response.GetResults()
		t.revision = response.GetRevision()
	}
	return nil
}

// progress says what was written before transaction number i failed, and what was not.
func (p *applyPlan) progress(i int, code codes.Code) string {
	advice := "run the command again when the cause is removed: what is written already stays as it is"
	if code == codes.FailedPrecondition {
		advice = fmt.Sprintf("the files fit together as a whole, but not after each transaction of at most %d flags and segments: apply them in parts", maxTransaction)
	}
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
		"\n" + advice
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

// writePlan shows what would be written; and, if all is to be shown, what would not.
func (c *client) writePlan(p *applyPlan, all bool) error {
	var b bytes.Buffer
	created, changed, deleted := 0, 0, 0
	for _, t := range p.transactions {
		for _, r := range t.results {
			name := kindWord(r.GetKind()) + " " + c.paint.bold(singleLine(r.GetKey()))
			switch r.GetAction() {
			case controlv1.Action_ACTION_CREATED:
				created++
				fmt.Fprintf(&b, "%s %s\n", c.paint.green("+"), name)
				continue
			case controlv1.Action_ACTION_DELETED:
				deleted++
				fmt.Fprintf(&b, "%s %s (%s)\n", c.paint.red("-"), name, revisionText(r.GetRevision()))
				continue
			}
			changed++
			fmt.Fprintf(&b, "%s %s (%s)\n", c.paint.yellow("~"), name, revisionText(r.GetRevision()))
			writeChanges(&b, c.paint, "    ", r.GetChanges())
			if by := p.changedBy[resourceID{r.GetKind(), r.GetKey()}]; by != "" {
				fmt.Fprintf(&b, "    %s\n", c.paint.dim("here it was "+by))
			}
		}
	}
	for _, r := range p.unchanged {
		if all {
			fmt.Fprintf(&b, "%s\n", c.paint.dim("= "+kindWord(r.GetKind())+" "+singleLine(r.GetKey())))
		}
	}
	fmt.Fprintf(&b, "%s: %d to create, %d to change, %d unchanged", c.environment, created, changed, len(p.unchanged))
	if deleted > 0 {
		fmt.Fprintf(&b, ", %d to delete", deleted)
	}
	if n := len(p.transactions); n > 1 {
		fmt.Fprintf(&b, "; in %d transactions", n)
	}
	b.WriteString("\n")
	_, err := c.out.Write(b.Bytes())
	return err
}

// checkRevivals looks for flags that someone turned off by hand and that the files turn
// on again. Without --enable that is refused.
func (c *client) checkRevivals(ctx context.Context, p *applyPlan, enable bool) error {
	var revived []string
	for _, r := range p.response().GetResults() {
		if r.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_FLAG || !enables(r) {
			continue
		}
		e, err := c.lastSwitch(ctx, r.GetKey())
		if err != nil {
			return err
		}
		if a := e.GetAction(); a == controlv1.Action_ACTION_DISABLED || a == controlv1.Action_ACTION_RESTORED {
			revived = append(revived, fmt.Sprintf("%s, which %s turned off at %s: %s", singleLine(r.GetKey()),
				actorText(e.GetActor()), timeText(e.GetTime()), singleLine(e.GetReason())))
		}
	}
	switch {
	case len(revived) == 0:
		return nil
	case enable:
		for _, line := range revived {
			fmt.Fprintf(c.err, "%s --enable turns on %s\n", c.paint.yellow("warning:"), line)
		}
		return nil
	}
	return errors.New("the files turn on again what was turned off by hand; nothing was written\n  " + strings.Join(revived, "\n  ") +
		"\npass --enable to turn it on, or write 'enabled: false' in the file to apply the rest")
}

// lastSwitch is the newest entry that changed whether the flag is enabled.
func (c *client) lastSwitch(ctx context.Context, key string) (*controlv1.AuditEntry, error) {
	token := ""
	for {
		page, err := read(ctx, c, c.flags.ListFlagHistory, &controlv1.ListFlagHistoryRequest{
			Environment: c.environment, FlagKey: key, PageToken: token,
		})
		if err != nil {
			return nil, err
		}
		for _, e := range page.GetEntries() {
			if slices.ContainsFunc(e.GetChanges(), func(c *controlv1.FieldChange) bool { return c.GetPath() == "enabled" }) {
				return e, nil
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			return nil, nil
		}
	}
}

func enables(r *controlv1.ApplyResult) bool {
	for _, change := range r.GetChanges() {
		if change.GetPath() == "enabled" && change.GetBefore() == "false" && change.GetAfter() == "true" {
			return r.GetAction() == controlv1.Action_ACTION_UPDATED
		}
	}
	return false
}

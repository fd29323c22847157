package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

func newEpochCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "epoch",
		Short: "Show the store's epoch, and begin a new one after a restore",
		Long: "Show the store's epoch, and begin a new one. Within an epoch relays never take back what\n" +
			"they have. After etcd was restored from a backup, or lost data, or the store was made anew,\n" +
			"they keep what they had until a new epoch begins; then all of them take over what the store\n" +
			"holds.",
	}
	cmd.AddCommand(newEpochShowCommand(io), newEpochBeginCommand(io))
	return cmd
}

func newEpochShowCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the store's epoch, and whether the store is behind what was seen of it",
		Example: "  tidegate epoch show",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.epochs.GetEpoch, &controlv1.GetEpochRequest{})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeEpoch(out, response) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

func (c *client) writeEpoch(out io.Writer, r *controlv1.GetEpochResponse) {
	fmt.Fprintf(out, "epoch %s, the store is at revision %d\n", c.paint.bold(epochText(r.GetEpoch())), r.GetRevision())
	if e := r.GetEntry(); e != nil {
		fmt.Fprintf(out, "begun at revision %d, %s, by %s: %s\n", e.GetRevision(), timeText(e.GetTime()), actorText(e.GetActor()), singleLine(e.GetReason()))
	}
	for _, problem := range epochProblems(r) {
		fmt.Fprintln(out, c.paint.red(problem))
	}
}

// epochProblems says what speaks for a new epoch.
func epochProblems(r *controlv1.GetEpochResponse) []string {
	var problems []string
	applied, epoch := r.GetAppliedEpoch(), r.GetEpoch()
	same := applied.GetCounter() == epoch.GetCounter() && applied.GetRandom() == epoch.GetRandom()
	if same && r.GetAppliedRevision() > r.GetRevision() {
		problems = append(problems, fmt.Sprintf("the server has applied revision %d of this epoch: the store is behind it, and needs a new epoch", r.GetAppliedRevision()))
	}
	if behind := r.GetBehindFollowerRevision(); behind > r.GetRevision() {
		problems = append(problems, fmt.Sprintf("relays have revision %d of this epoch, and keep it: the store is behind them, and needs a new epoch", behind))
	}
	if n := int(r.GetRefusedCount()); n > 0 {
		problems = append(problems, fmt.Sprintf("%s of late, with the state of another store, which they keep: %s. "+
			"If this store was made anew, restore the backup, or begin an epoch, once this one holds what they shall take over; if they come from another installation, empty their state directories",
			counted(n, "refused follower"), refusedText(r)))
	}
	return problems
}

// refusedText names the followers; the names are their own words.
func refusedText(r *controlv1.GetEpochResponse) string {
	var names []string
	for _, f := range r.GetRefusedFollowers() {
		names = append(names, fmt.Sprintf("%s (%s, epoch %s)", singleLine(f.GetInstanceId()), singleLine(f.GetEnvironment()), epochText(f.GetEpoch())))
	}
	if more := int(r.GetRefusedCount()) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// contentsText is what followers will take over.
func contentsText(r *controlv1.GetEpochResponse) string {
	all := make([]string, 0, len(r.GetContents()))
	for _, c := range r.GetContents() {
		all = append(all, fmt.Sprintf("%s %s", c.GetEnvironment(), counted(int(c.GetFlags()), "flag")))
	}
	return strings.Join(all, ", ")
}

func epochText(e *syncv1.Epoch) string { return fmt.Sprintf("%d-%016x", e.GetCounter(), e.GetRandom()) }

func newEpochBeginCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var yes bool
	cmd := &cobra.Command{
		Use:     "begin",
		Short:   "Begin a new epoch: every relay takes over what the store holds now",
		Example: "  tidegate epoch begin --reason \"restored from the backup of Monday\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				current, err := read(ctx, c, c.epochs.GetEpoch, &controlv1.GetEpochRequest{})
				if err != nil {
					return err
				}
				if !yes {
					if err := c.confirmEpoch(current); err != nil {
						return err
					}
				}
				response, err := write(ctx, c, c.epochs.BeginEpoch, &controlv1.BeginEpochRequest{
					Expected: current.GetEpoch(), Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					fmt.Fprintf(out, "epoch %s has begun, at revision %d\n", epochText(response.GetEpoch()), response.GetRevision())
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirmEpoch has a person type the number of the epoch that shall begin.
func (c *client) confirmEpoch(current *controlv1.GetEpochResponse) error {
	next := strconv.FormatUint(current.GetEpoch().GetCounter()+1, 10)
	problems := epochProblems(current)
	for _, problem := range problems {
		fmt.Fprintln(c.err, problem)
	}
	if len(problems) == 0 {
		fmt.Fprintln(c.err, "this server sees no reason for a new epoch: the store is not behind what was seen of it")
	}
	if contents := contentsText(current); contents != "" {
		fmt.Fprintf(c.err, "here there are: %s\n", contents)
	}
	return c.confirmTyped(fmt.Sprintf("Every relay and SDK, those too that were refused, will replace what it has by what the store holds now, at revision %d.\nType %s to begin epoch %s: ",
		current.GetRevision(), next, next), next)
}

// confirmTyped has a person type a word before something is done.
func (c *client) confirmTyped(question, word string) error {
	fmt.Fprint(c.err, question)
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != word {
		return errors.New("not confirmed; nothing was changed")
	}
	return nil
}

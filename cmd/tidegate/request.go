package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newRequestCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Propose changes, and approve and apply what others proposed",
		Long: "Propose changes, and approve and apply what others proposed.\n\n" +
			"Where an environment asks for approvals ('tidegate environment set --approvals'), flags and\n" +
			"segments are written, and rollouts started, by applying a change request that has them. The\n" +
			"kill switch ('flag disable') and what shuts a rollout work without one. A change request\n" +
			"never changes: to propose something else, withdraw it. It is not applied over what somebody\n" +
			"has changed since it was proposed.\n\n" +
			"Commands that write take --propose: tidegate flag set KEY --default off --propose ...",
	}
	cmd.AddCommand(
		newRequestProposeCommand(io),
		newRequestListCommand(io),
		newRequestGetCommand(io),
		newRequestApproveCommand(io),
		newRequestRejectCommand(io),
		newRequestWithdrawCommand(io),
		newRequestApplyCommand(io),
		newRequestHistoryCommand(io),
	)
	return cmd
}

func newRequestProposeCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		paths  []string
		enable bool
	)
	cmd := &cobra.Command{
		Use:   "propose -f FILE",
		Short: "Propose what files say, as 'apply --propose' does",
		Example: "  tidegate request propose -f examples/flags.yaml --environment production --reason \"the launch\"\n" +
			"  tidegate request propose -f flags/ --environment production --at 2026-12-01T08:00:00Z --reason \"the launch\"",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(paths) == 0 {
				return usagef("say what to propose: -f FILE, a folder, or - for the standard input")
			}
			o.proposing.on = true
			if err := o.requireWrite(); err != nil {
				return err
			}
			d, err := readManifests(streams.in, paths)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.explainWith(c.apply(ctx, d, fileOptions{}, false, enable), inFile(d))
			})
		},
	}
	f := cmd.Flags()
	o.registerWrite(f)
	f.StringArrayVarP(&paths, "filename", "f", nil, filesUsage)
	f.BoolVar(&enable, "enable", false, "also turn on flags that someone turned off by hand")
	o.registerAt(f, "")
	return cmd
}

// oneNumber is what commands on one change request take.
func oneNumber(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("say which change request: NUMBER, such as 42")
	}
	if _, err := requestNumber(args[0]); err != nil {
		return err
	}
	return nil
}

// requestNumber reads 42 and #42.
func requestNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "#"), 10, 64)
	if err != nil || n <= 0 {
		return 0, usagef("%q is not the number of a change request: expected one such as 42", text)
	}
	return n, nil
}

func newRequestListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		state, prefix string
		all           bool
		limit         int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the change requests of an environment that are open, newest first",
		Example: "  tidegate request list --environment production\n" +
			"  tidegate request list --all --limit 0",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := &controlv1.ListChangeRequestsRequest{Environment: o.environment, KeyPrefix: prefix}
			switch {
			case all && cmd.Flags().Changed("state"):
				return usagef("--all and --state: expected one of them")
			case !all:
				value, err := enumOf("--state", "STATE_", state, controlv1.ChangeRequest_State_value)
				if err != nil {
					return err
				}
				r.State = controlv1.ChangeRequest_State(value)
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := c.listRequests(ctx, r, limit)
				if err != nil {
					return err
				}
				return c.show(list, func(out io.Writer) { c.writeRequestList(out, list) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&state, "state", "open", "open, applied, rejected, withdrawn or failed")
	f.BoolVar(&all, "all", false, "in whatever state")
	f.StringVar(&prefix, "key-prefix", "", "only those that name nothing but what has a key that starts with this")
	f.IntVar(&limit, "limit", defaultHistory, "how many to show; 0: all")
	return cmd
}

// listRequests reads pages until there are enough, as one answer.
func (c *client) listRequests(ctx context.Context, r *controlv1.ListChangeRequestsRequest, limit int) (*controlv1.ListChangeRequestsResponse, error) {
	if limit < 0 {
		return nil, usagef("--limit %d: expected a number from 0", limit)
	}
	all := &controlv1.ListChangeRequestsResponse{}
	for {
		r.PageSize = largestPage
		if limit > 0 {
			r.PageSize = int32(min(largestPage, limit-len(all.GetChangeRequests())))
		}
		page, err := read(ctx, c, c.changeRequests.ListChangeRequests, r)
		if err != nil {
			return nil, err
		}
		all.ChangeRequests = append(all.ChangeRequests, page.GetChangeRequests()...)
		all.Revision, all.ApprovalsRequired, all.NextPageToken = page.GetRevision(), page.GetApprovalsRequired(), page.GetNextPageToken()
		if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" || limit > 0 && len(all.GetChangeRequests()) >= limit {
			return all, nil
		}
	}
}

func (c *client) writeRequestList(out io.Writer, list *controlv1.ListChangeRequestsResponse) {
	if len(list.GetChangeRequests()) == 0 {
		fmt.Fprintf(out, "no such change requests in %s\n", c.environment)
		return
	}
	t := table{paint: c.paint, header: []string{"NUMBER", "STATE", "APPROVALS", "PROPOSED BY", "AT", "CHANGES", "REASON"}}
	for _, r := range list.GetChangeRequests() {
		approvals := strconv.Itoa(len(r.GetApprovals()))
		if r.GetState() == controlv1.ChangeRequest_STATE_OPEN {
			approvals += " of " + strconv.Itoa(int(list.GetApprovalsRequired()))
		}
		t.add(cell{"#" + strconv.FormatInt(r.GetNumber(), 10), c.paint.bold}, cell{stateWord(r), c.statePaint(r)}, plain(approvals),
			plain(actorText(r.GetProposer().GetName())), plain(timeText(r.GetProposedAt())), plain(strings.Join(namedBy(r), ", ")), plain(r.GetReason()))
	}
	t.write(out)
	if list.GetNextPageToken() != "" {
		fmt.Fprintln(out, c.paint.dim("there is more: see --limit"))
	}
}

func stateWord(r *controlv1.ChangeRequest) string {
	return enumWord(r.GetState().String(), "STATE_")
}

func (c *client) statePaint(r *controlv1.ChangeRequest) func(string) string {
	switch r.GetState() {
	case controlv1.ChangeRequest_STATE_OPEN:
		return c.paint.yellow
	case controlv1.ChangeRequest_STATE_APPLIED:
		return c.paint.green
	}
	return c.paint.red
}

// namedBy is what a change request names.
func namedBy(r *controlv1.ChangeRequest) []string {
	keys := slices.Concat(r.GetSegmentKeys(), r.GetFlagKeys())
	if r.GetRolloutKey() != "" {
		keys = append(keys, r.GetRolloutKey())
	}
	return keys
}

func newRequestGetCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "get NUMBER",
		Short:   "Show a change request: what it changes, who approved it, and what is in the way",
		Example: "  tidegate request get 42 --environment production",
		Args:    oneNumber,
		RunE: func(cmd *cobra.Command, args []string) error {
			number, _ := requestNumber(args[0]) // oneNumber has looked
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.changeRequests.GetChangeRequest, &controlv1.GetChangeRequestRequest{Environment: o.environment, Number: number})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeRequest(out, response) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	return cmd
}

func (c *client) writeRequest(out io.Writer, response *controlv1.GetChangeRequestResponse) {
	r := response.GetChangeRequest()
	open := r.GetState() == controlv1.ChangeRequest_STATE_OPEN
	fmt.Fprintf(out, "%s in %s: %s\n", c.paint.bold("#"+strconv.FormatInt(r.GetNumber(), 10)), singleLine(r.GetEnvironment()), c.statePaint(r)(stateWord(r)))
	fmt.Fprintf(out, "proposed by %s at %s: %s\n", actorText(r.GetProposer().GetName()), timeText(r.GetProposedAt()), singleLine(r.GetReason()))
	for _, a := range r.GetApprovals() {
		text := fmt.Sprintf("approved by %s at %s", actorText(a.GetBy().GetName()), timeText(a.GetTime()))
		if a.GetComment() != "" {
			text += ": " + singleLine(a.GetComment())
		}
		fmt.Fprintln(out, text)
	}
	for _, u := range response.GetUncountedApprovals() {
		fmt.Fprintf(out, "%s that of %s, who %s\n", c.paint.red("does not count:"), actorText(u.GetBy().GetName()), singleLine(u.GetProblem()))
	}
	if !open {
		text := fmt.Sprintf("%s by %s at %s", stateWord(r), actorText(r.GetClosedBy().GetName()), timeText(r.GetClosedAt()))
		if r.GetAppliedEarly() {
			text += ", before its time, " + timeText(r.GetApplyAt())
		}
		if r.GetClosingReason() != "" {
			text += ": " + singleLine(r.GetClosingReason())
		}
		fmt.Fprintln(out, text)
	}
	if open && r.GetApplyAt() != nil {
		fmt.Fprintf(out, "to be applied at %s\n", timeText(r.GetApplyAt()))
	}
	c.writeResults(out, response.GetResults())
	if !open {
		return
	}
	if missing := int(response.GetApprovalsRequired()) - len(r.GetApprovals()) + len(response.GetUncountedApprovals()); missing > 0 {
		fmt.Fprintf(out, "it lacks %s of %d: tidegate request approve %d --environment %s\n",
			counted(missing, "approval"), response.GetApprovalsRequired(), r.GetNumber(), singleLine(r.GetEnvironment()))
	}
	for _, conflict := range response.GetConflicts() {
		fmt.Fprintf(out, "%s %s\n", c.paint.red("conflict:"), c.conflictText(conflict))
		writeChanges(out, c.paint, "    ", conflict.GetChanges())
	}
	if response.GetObstacle() != "" {
		fmt.Fprintf(out, "%s %s\n", c.paint.red("in the way:"), singleLine(response.GetObstacle()))
	}
	for _, caution := range response.GetCautions() {
		fmt.Fprintf(out, "%s %s\n", c.paint.yellow("look at this:"), singleLine(caution))
	}
}

// conflictText says who was first.
func (c *client) conflictText(conflict *controlv1.Conflict) string {
	text := fmt.Sprintf("%s %s is not what this was proposed on", kindWord(conflict.GetKind()), singleLine(conflict.GetKey()))
	if latest := conflict.GetLatest(); latest != nil {
		text += fmt.Sprintf("; %s %s it at %s, %s: %s", actorText(latest.GetActor()), actionWord(latest.GetAction()),
			revisionText(latest.GetRevision()), timeText(latest.GetTime()), singleLine(latest.GetReason()))
	}
	return text
}

func newRequestHistoryCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var limit int
	cmd := &cobra.Command{
		Use:     "history NUMBER",
		Short:   "Show who did what to a change request, when and why; newest first",
		Example: "  tidegate request history 42 --environment production",
		Args:    oneNumber,
		RunE: func(cmd *cobra.Command, args []string) error {
			number, _ := requestNumber(args[0]) // oneNumber has looked
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				entries, next, err := readHistory(limit, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
					page, err := read(ctx, c, c.changeRequests.ListChangeRequestHistory, &controlv1.ListChangeRequestHistoryRequest{
						Environment: o.environment, Number: number, PageSize: size, PageToken: token,
					})
					return page.GetEntries(), page.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				history := &controlv1.ListChangeRequestHistoryResponse{Entries: entries, NextPageToken: next}
				return c.show(history, func(out io.Writer) { c.writeHistory(out, entries, next != "") })
			})
		},
	}
	o.registerRead(cmd.Flags())
	registerLimit(cmd, &limit)
	return cmd
}

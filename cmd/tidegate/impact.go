package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// impact asks whom a change would give something else, of those whom relays have answered
// lately. Nil: the server, an older one, does not know how.
func (c *client) impact(ctx context.Context, r *controlv1.PreviewChangeRequest) (*controlv1.PreviewChangeResponse, error) {
	r.Environment = c.environment
	answer, err := read(ctx, c, c.flags.PreviewChange, r)
	if status.Code(err) == codes.Unimplemented {
		return nil, nil
	}
	return answer, err
}

// tellImpact asks, and writes what was answered.
func (c *client) tellImpact(ctx context.Context, out io.Writer, r *controlv1.PreviewChangeRequest) {
	answer, err := c.impact(ctx, r)
	c.writeImpact(out, answer, err)
}

// writeImpact writes what was answered. That it is not known is no failure of what is asked
// about.
func (c *client) writeImpact(out io.Writer, answer *controlv1.PreviewChangeResponse, err error) {
	switch {
	case err != nil:
		fmt.Fprintln(out, c.paint.dim("whom it would change is not known: "+singleLine(c.explain(err).Error())))
	case answer != nil:
		c.writeImpactOf(out, answer)
	}
}

// structOf is a message as a value in an answer for machines.
func structOf(m proto.Message) (*structpb.Value, error) {
	data, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	v := &structpb.Value{}
	return v, protojson.Unmarshal(data, v)
}

// flagImpact is a change of one flag.
func flagImpact(f *flagv1.Flag) *controlv1.PreviewChangeRequest {
	return &controlv1.PreviewChangeRequest{Flags: []*controlv1.FlagWrite{{Flag: f}}}
}

// impactOf is the change that a plan is.
func impactOf(p *applyPlan) *controlv1.PreviewChangeRequest {
	r := &controlv1.PreviewChangeRequest{}
	for _, t := range p.transactions {
		r.Flags = append(r.Flags, t.flags...)
		r.Segments = append(r.Segments, t.segments...)
		r.Deletes = append(r.Deletes, t.deletes...)
	}
	return r
}

// writeImpactOf writes a line for each flag.
func (c *client) writeImpactOf(out io.Writer, a *controlv1.PreviewChangeResponse) {
	switch {
	case len(a.GetFlags()) == 0: // nothing differs
		return
	case a.GetRelaysTotal() == 0:
		fmt.Fprintln(out, c.paint.dim("whom it would change is not known: no relay follows "+c.environment))
		return
	case a.GetRelays() == 0:
		fmt.Fprintln(out, c.paint.yellow(fmt.Sprintf("whom it would change is not known: none of %s told", counted(int(a.GetRelaysTotal()), "relay"))))
		return
	}
	fmt.Fprintf(out, "of the subjects since %s, as %s of %s told:\n",
		timeText(a.GetSince()), strconv.Itoa(int(a.GetRelays())), counted(int(a.GetRelaysTotal()), "relay"))
	for _, f := range a.GetFlags() {
		name := c.paint.bold(singleLine(f.GetFlagKey()))
		if f.GetDependant() {
			name += " (depends on it)"
		}
		paint := c.paint.yellow
		if f.GetChanging() == 0 {
			paint = c.paint.dim
		}
		fmt.Fprintf(out, "  %s: %s\n", name, paint(impactText(f)))
	}
	if n := a.GetFlagsLeftOut(); n > 0 {
		fmt.Fprintf(out, "  and %s more, of which nothing is told\n", counted(int(n), "flag"))
	}
	if n := a.GetFlagsHidden(); n > 0 {
		fmt.Fprintf(out, "  and %s that you may not read\n", counted(int(n), "flag"))
	}
	if silent := a.GetUnreachableServers(); len(silent) > 0 {
		fmt.Fprintf(out, "  %s did not answer\n", strings.Join(silent, ", "))
	}
}

// impactText is such as 'about 12% (9% to 16%) of about 41,000 subjects would change: off -> on 12%'.
func impactText(f *controlv1.FlagPreview) string {
	var text string
	switch {
	case f.GetRelays() == 0:
		return "not known: no relay told in time"
	case f.GetSampled() == 0:
		text = "not known: no subject was seen"
	case f.GetComplete() && f.GetChanging() == 0:
		text = "none of " + counted(int(f.GetSampled()), "subject") + " would change"
	case f.GetComplete():
		text = fmt.Sprintf("%d of %s would change: %s", f.GetChanging(), counted(int(f.GetSampled()), "subject"), transitionsText(f))
	case f.GetChanging() == 0:
		text = fmt.Sprintf("less than %s of about %s subjects would change: none of %d in the sample",
			percentText(f.GetShareHigh()), aboutText(f.GetSubjects()), f.GetSampled())
	default:
		text = fmt.Sprintf("about %s (%s to %s) of about %s subjects would change: %s", percentText(f.GetShare()),
			percentText(f.GetShareLow()), percentText(f.GetShareHigh()), aboutText(f.GetSubjects()), transitionsText(f))
	}
	if f.GetWithoutKey() {
		text += "; it is evaluated without a targeting key, too"
	}
	return text
}

// longestTransitions is how many are listed.
const longestTransitions = 4

func transitionsText(f *controlv1.FlagPreview) string {
	var list []string
	for _, t := range f.GetTransitions() {
		if !t.GetDiffers() {
			continue
		}
		if len(list) == longestTransitions {
			list = append(list, "...")
			break
		}
		before, after := servedText(t.GetBefore(), t.GetErrorBefore()), servedText(t.GetAfter(), t.GetErrorAfter())
		move := before + " -> " + after
		if before == after {
			move = before + " with another value"
		}
		list = append(list, move+" "+percentText(t.GetShare()))
	}
	return strings.Join(list, ", ")
}

func servedText(variant, code string) string {
	switch {
	case code != "":
		return "error " + singleLine(code)
	case variant == "":
		return "(the caller's default)"
	}
	return singleLine(variant)
}

// percentText rounds to what a sample can tell.
func percentText(share float64) string {
	percent := 100 * share
	digits := 0
	if percent > 0 && percent < 10 || percent > 99 && percent < 100 {
		digits = 1
	}
	return strconv.FormatFloat(percent, 'f', digits, 64) + "%"
}

// aboutText rounds to two digits.
func aboutText(n int64) string {
	unit := int64(1)
	for n/unit >= 100 {
		unit *= 10
	}
	return groupedText(int64(math.Round(float64(n)/float64(unit))) * unit)
}

// groupedText is such as 41,000.
func groupedText(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

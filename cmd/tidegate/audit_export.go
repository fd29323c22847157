package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// The forms of exports.
const (
	formatLines = "jsonl"
	formatCSV   = "csv"
)

func newAuditExportCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		f            entryFilter
		file, format string
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a trail to a file: all of it, to be verified anywhere, or as a table",
		Long: "Write a trail to a file. As JSON lines it is all of the trail, entries and seals as they are\n" +
			"stored, and 'tidegate audit verify --from FILE' proves it, without a server. As CSV it is a\n" +
			"table of the entries that the filter lets through, the oldest first.",
		Example: "  tidegate audit export --environment production -f production.jsonl\n" +
			"  tidegate audit export --environment production --format csv --since 720h -f november.csv",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now())
			switch {
			case err != nil:
				return err
			case format != formatLines && format != formatCSV:
				return usagef("--format %s: expected %s or %s", format, formatLines, formatCSV)
			case format == formatLines && proto.Size(filter) > 0:
				return usagef("--format %s is all of a trail, so that it can be verified: filters are for --format %s", formatLines, formatCSV)
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.writePrivateFile(file, func(out io.Writer) error {
					b := bufio.NewWriter(out)
					if format == formatCSV {
						err = c.exportTable(ctx, b, filter)
					} else {
						err = c.exportLines(ctx, b)
					}
					return errors.Join(err, b.Flush())
				})
			})
		},
	}
	o.registerTrail(cmd.Flags())
	f.register(cmd.Flags())
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` to write (default: the standard output)")
	cmd.Flags().StringVar(&format, "format", formatLines, formatLines+" or "+formatCSV)
	return cmd
}

// trailLine is one line of an export: the first has trail and head, an entry's has key, revision
// and entry, a seal's has seal. What is proved is stored; the rest is for people and other programs.
type trailLine struct {
	Trail    string          `json:"trail,omitempty"`
	Head     json.RawMessage `json:"head,omitempty"`
	Key      string          `json:"key,omitempty"`
	Revision int64           `json:"revision,omitempty"`
	Entry    json.RawMessage `json:"entry,omitempty"`
	Seal     json.RawMessage `json:"seal,omitempty"`
	Stored   []byte          `json:"stored,omitempty"`
}

// trail receives all of an environment's trail.
func (c *client) trail(ctx context.Context, environment string, take func(*controlv1.ExportTrailResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.audit.ExportTrail(ctx, &controlv1.ExportTrailRequest{Environment: environment})
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := take(answer); err != nil {
			return err
		}
	}
}

func (c *client) exportLines(ctx context.Context, out io.Writer) error {
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	first := true
	return c.trail(ctx, c.environment, func(r *controlv1.ExportTrailResponse) error {
		if first {
			first = false
			line := trailLine{Trail: c.environment}
			if r.GetHead() != nil {
				line.Head = compactJSON(r.GetHead())
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
		for _, e := range r.GetEntries() {
			line := trailLine{Key: e.GetKey(), Revision: e.GetRevision(), Stored: e.GetStored()}
			if entry := readStored(e); entry != nil {
				line.Entry = compactJSON(entry)
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
		for _, stored := range r.GetSeals() {
			line, seal := trailLine{Stored: stored}, new(controlv1.Seal)
			if proto.Unmarshal(stored, seal) == nil {
				line.Seal = compactJSON(seal)
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
		return nil
	})
}

// readStored is the entry with its revision; nil: it cannot be decoded.
func readStored(e *controlv1.StoredEntry) *controlv1.AuditEntry {
	entry := new(controlv1.AuditEntry)
	if proto.Unmarshal(e.GetStored(), entry) != nil {
		return nil
	}
	entry.Revision = e.GetRevision()
	return entry
}

// compactJSON is nil for what has no JSON, such as text that is not UTF-8.
func compactJSON(m proto.Message) json.RawMessage {
	data, err := protojson.Marshal(m)
	if err != nil {
		return nil
	}
	return data
}

func (c *client) exportTable(ctx context.Context, out io.Writer, filter *controlv1.EntryFilter) error {
	w := csv.NewWriter(out)
	header := []string{"revision", "time", "environment", "kind", "key", "action", "actor", "reason", "peer", "request_id", "rollout", "sequence", "changes"}
	if err := w.Write(header); err != nil {
		return err
	}
	_, err := c.listEntries(ctx, filter, true, 0, func(entries []*controlv1.AuditEntry) error {
		for _, e := range entries {
			changes, err := json.Marshal(e.GetChanges())
			if err != nil {
				return err
			}
			row := []string{
				strconv.FormatInt(e.GetRevision(), 10), e.GetTime().AsTime().UTC().Format(time.RFC3339Nano), c.environment, kindWord(e.GetKind()),
				e.GetKey(), actionWord(e.GetAction()), e.GetActor(), e.GetReason(), e.GetPeer(), e.GetRequestId(), e.GetRolloutKey(),
				strconv.FormatInt(e.GetSequence(), 10), string(changes),
			}
			for i := range row {
				row[i] = harmless(row[i])
			}
			if err := w.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
	w.Flush()
	return errors.Join(err, w.Error())
}

// harmless keeps a spreadsheet from taking what somebody wrote for a formula.
func harmless(text string) string {
	if text == "" {
		return text
	}
	switch text[0] {
	case '=', '+', '-', '@', '\t', '\r':
		return "'" + text
	}
	return text
}

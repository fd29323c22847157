package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/pairwise"
)

// Forms of the output of 'tidegate matrix', besides those of every command.
const (
	outputCSV    = "csv"
	outputGitHub = "github"
)

// maxGitHubJobs is how many jobs one matrix of GitHub Actions may have.
const maxGitHubJobs = 256

// matrixOptions say what a matrix is made of.
type matrixOptions struct {
	*clientOptions
	files    []string
	prefix   string
	strength int
	seed     uint64
}

func newMatrixCommand(streams *streams) *cobra.Command {
	o := &matrixOptions{clientOptions: newClientOptions()}
	o.forms = []string{outputCSV, outputGitHub}
	cmd := &cobra.Command{
		Use:   "matrix FLAG...",
		Short: "Make a test matrix: few combinations of variants that cover every pair",
		Long: "Make a test matrix: few combinations of the flags' variants, in which every two variants of\n" +
			"any two flags occur together at least once; with --strength 3, of any three flags. All\n" +
			"combinations of 10 flags with two variants are 1024, those that cover every pair are 7.\n\n" +
			"What prerequisites make impossible is left out, and said: a flag whose prerequisite serves\n" +
			"something else serves its off variant or, if it has none, the caller's default. Whether\n" +
			"flags are enabled now does not matter. The same flags and the same --seed give the same\n" +
			"combinations.\n\n" +
			"-o github writes one line, for fromJSON in the 'matrix' of a GitHub Actions job.",
		Example: "  tidegate matrix new-checkout engine banner\n  tidegate matrix --prefix checkout. --strength 3 -o csv\n" +
			"  echo \"matrix=$(tidegate matrix --prefix checkout. -o github)\" >> \"$GITHUB_OUTPUT\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.makeMatrix(ctx, args, o)
			})
		},
	}
	f := cmd.Flags()
	o.registerRead(f)
	f.Lookup("output").Usage = "table, json, yaml, csv or github"
	f.StringArrayVarP(&o.files, "filename", "f", nil, "file or folder with the flags, in the form of 'tidegate apply', instead of the server's")
	f.StringVar(&o.prefix, "prefix", "", "the flags whose keys start with this")
	f.IntVar(&o.strength, "strength", pairwise.MinStrength, "how many flags' variants are combined: 2 or 3")
	f.Uint64Var(&o.seed, "seed", 0, "choose among matrices that are as good")
	return cmd
}

func (o *matrixOptions) check(keys []string) error {
	switch {
	case len(keys) == 0 && o.prefix == "":
		return usagef("name the flags, or pass --prefix")
	case len(keys) > 0 && o.prefix != "":
		return usagef("name the flags, or pass --prefix, not both")
	case o.strength < pairwise.MinStrength || o.strength > pairwise.MaxStrength:
		return usagef("--strength %d: expected %d or %d", o.strength, pairwise.MinStrength, pairwise.MaxStrength)
	}
	for i, key := range keys {
		if slices.Contains(keys[:i], key) {
			return usagef("%s is named twice", key)
		}
	}
	return nil
}

func (c *client) makeMatrix(ctx context.Context, keys []string, o *matrixOptions) error {
	flags, err := c.matrixFlags(ctx, o.files)
	if err != nil {
		return err
	}
	if o.prefix != "" {
		for _, f := range flags {
			if strings.HasPrefix(f.GetKey(), o.prefix) {
				keys = append(keys, f.GetKey())
			}
		}
		if len(keys) == 0 {
			return fmt.Errorf("no flag's key starts with %q", o.prefix)
		}
	}
	m, err := newMatrix(flags, keys, o.strength, o.seed)
	if err != nil {
		return err
	}
	switch o.output {
	case outputCSV:
		err = m.writeCSV(c.out)
	case outputGitHub:
		err = m.writeGitHub(c.out)
	default:
		return c.showValue(m, func(out io.Writer) { c.writeMatrix(out, m) })
	}
	if err != nil {
		return err
	}
	m.writeImpossible(c.err)
	return nil
}

// matrixFlags are all flags, of the files or else of the environment: some may be
// prerequisites of those that are meant.
func (c *client) matrixFlags(ctx context.Context, files []string) ([]*flagv1.Flag, error) {
	if len(files) > 0 {
		d, err := readManifests(c.in, files)
		if err != nil {
			return nil, err
		}
		return d.Flags, nil
	}
	list, err := c.listFlags(ctx, c.environment, "")
	if err != nil {
		return nil, err
	}
	var flags []*flagv1.Flag
	for _, v := range list.GetFlags() {
		flags = append(flags, v.GetFlag())
	}
	return flags, nil
}

func (c *client) writeMatrix(out io.Writer, m *matrix) {
	t := table{paint: c.paint, header: []string{"#"}}
	for _, key := range m.Flags {
		t.header = append(t.header, singleLine(key))
	}
	for i, row := range m.rows {
		cells := []cell{number(int64(i + 1))}
		for _, v := range row {
			cells = append(cells, plain(variantText(v)))
		}
		t.add(cells...)
	}
	t.write(out)
	covered := []string{"variant", "pair", "triple"}[min(m.Strength, len(m.Flags))-1]
	fmt.Fprintf(out, "\n%s of %s with all %s that are possible\n",
		counted(len(m.rows), "combination"), counted(len(m.Flags), "flag"), counted(m.Covered, covered))
	m.writeImpossible(out)
}

// writeImpossible tells what was left out, and why.
func (m *matrix) writeImpossible(out io.Writer) {
	if len(m.Impossible) == 0 {
		return
	}
	fmt.Fprintln(out, "left out, because it cannot be:")
	for _, combination := range m.impossible {
		var parts []string
		for _, v := range combination {
			parts = append(parts, singleLine(v.flag)+"="+variantText(v.variant))
		}
		fmt.Fprintf(out, "  %s\n", strings.Join(parts, " with "))
	}
	for _, r := range m.Requirements {
		fmt.Fprintf(out, "%s\n", singleLine(r))
	}
}

// variantText is a variant as people read it; nil: the caller's default.
func variantText(v *string) string {
	if v == nil {
		return "(default)"
	}
	return singleLine(*v)
}

// writeCSV writes a line of keys, and one for each combination; the caller's default is empty.
func (m *matrix) writeCSV(out io.Writer) error {
	w := csv.NewWriter(out)
	lines := make([][]string, 0, 1+len(m.rows))
	lines = append(lines, m.Flags)
	for _, row := range m.rows {
		line := make([]string, len(row))
		for i, v := range row {
			if v != nil {
				line[i] = *v
			}
		}
		lines = append(lines, line)
	}
	return w.WriteAll(lines)
}

func (m *matrix) writeGitHub(out io.Writer) error {
	if n := len(m.rows); n > maxGitHubJobs {
		return fmt.Errorf("these are %d combinations, and a matrix of GitHub Actions has at most %d jobs: name fewer flags", n, maxGitHubJobs)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(map[string]any{"include": m.Combinations})
}

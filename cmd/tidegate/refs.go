package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/refscan"
)

func newRefsCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "refs",
		Short: "Find where flags are used in source",
	}
	cmd.AddCommand(newRefsScanCommand(io))
	return cmd
}

// refsOptions say what a scan looks for.
type refsOptions struct {
	*clientOptions
	files   []string
	all     bool
	check   bool
	config  string
	exclude []string
}

func newRefsScanCommand(streams *streams) *cobra.Command {
	o := &refsOptions{clientOptions: newClientOptions()}
	cmd := &cobra.Command{
		Use:   "scan DIR",
		Short: "Find where each flag is used below a folder, in any language",
		Long: "Find where each flag is used below a folder, in any language: its key as a whole quoted\n" +
			"string, and the names that stand for it. It tells which flags are used nowhere, and which\n" +
			"calls evaluate flags that do not exist. What .gitignore leaves out is left out; so are\n" +
			"binary files, and those above 2 MiB. A key that is put together at run time is not found.\n\n" +
			"The flags are those of the server, in any environment or in the one of --environment;\n" +
			"or those of files (-f). With --all no flags are needed: every call is listed that looks\n" +
			"like the evaluation of a flag, such as getBooleanValue(\"new-checkout\", false).\n\n" +
			"Other names of flags are in " + refsConfigFile + " in the folder, or in --config:\n\n" +
			"  aliases: {new-checkout: [CheckoutFlag]}   # names of one flag\n" +
			"  aliasForms: ['Flag{pascal}']              # of each: FlagNewCheckout; also {camel},\n" +
			"                                            # {snake}, {upperSnake}, {kebab}, {key}\n" +
			"  calls: [isOn]                             # functions that evaluate flags\n" +
			"  exclude: [/generated/]                    # as in .gitignore",
		Example: "  tidegate refs scan .\n  tidegate refs scan services/checkout -f flags/ --check\n  tidegate refs scan . --all -o json",
		Args:    oneFolder,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.all && (len(o.files) > 0 || o.environment != "") {
				return usagef("--all looks for calls whatever flags there are: leave out --environment and --filename")
			}
			if len(o.files) > 0 && o.environment != "" {
				return usagef("the flags are those of an environment (--environment) or of files (--filename), not both")
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.scanRefs(ctx, args[0], o)
			})
		},
	}
	f := cmd.Flags()
	o.registerServer(f)
	f.StringVarP(&o.environment, "environment", "e", "", "only the flags of this environment; default: of all")
	f.StringArrayVarP(&o.files, "filename", "f", nil, "file or folder with the flags, in the form of 'tidegate apply', instead of the server's")
	f.BoolVar(&o.all, "all", false, "list what looks like the evaluation of a flag, whatever flags there are")
	f.StringVar(&o.config, "config", "", "file with other names of flags; default: "+refsConfigFile+" in the folder, if it is there")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out these paths, as in .gitignore; can be repeated")
	f.BoolVar(&o.check, "check", false, "exit with 1 if a call evaluates a flag that does not exist")
	return cmd
}

func oneFolder(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("say which folder: DIR, such as '.'")
	}
	return nil
}

func (c *client) scanRefs(ctx context.Context, folder string, o *refsOptions) error {
	config, err := readRefsConfig(folder, o.config)
	if err != nil {
		return err
	}
	keys, err := c.refsKeys(ctx, o)
	if err != nil {
		return err
	}
	result, err := refscan.Scan(ctx, folder, refscan.Options{
		Keys: keys, Aliases: config.Aliases, AliasForms: config.AliasForms, Calls: config.Calls,
		Exclude: append(config.Exclude, o.exclude...),
	})
	if err != nil {
		return err
	}
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		folder = filepath.Dir(folder)
	}
	if err := c.showValue(result, func(out io.Writer) { c.writeRefs(out, folder, result, o.all) }); err != nil {
		return err
	}
	if n := len(result.Unread); n > 0 {
		return fmt.Errorf("there may be more: %d could not be read:\n%s", n, visible(strings.Join(result.Unread, "\n")))
	}
	if n := len(result.Missing); o.check && n > 0 {
		return fmt.Errorf("%s of flags that do not exist", counted(n, "call"))
	}
	return nil
}

// refsKeys are the keys that a scan looks for; nil: any.
func (c *client) refsKeys(ctx context.Context, o *refsOptions) ([]string, error) {
	if o.all {
		return nil, nil
	}
	keys := map[string]bool{}
	if len(o.files) > 0 {
		d, err := readManifests(c.in, o.files)
		if err != nil {
			return nil, err
		}
		for _, f := range d.Flags {
			keys[f.GetKey()] = true
		}
		return slices.AppendSeq([]string{}, maps.Keys(keys)), nil
	}
	environments := []string{o.environment}
	if o.environment == "" {
		list, err := read(ctx, c, c.environments.ListEnvironments, &controlv1.ListEnvironmentsRequest{})
		if err != nil {
			return nil, err
		}
		environments = nil
		for _, e := range list.GetEnvironments() {
			environments = append(environments, e.GetName())
		}
	}
	for _, e := range environments {
		flags, err := c.listFlags(ctx, e, "")
		if err != nil {
			return nil, err
		}
		for _, v := range flags.GetFlags() {
			keys[v.GetFlag().GetKey()] = true
		}
	}
	return slices.AppendSeq([]string{}, maps.Keys(keys)), nil
}

func (c *client) writeRefs(out io.Writer, folder string, r *refscan.Result, all bool) {
	byKey := slices.Clone(r.References)
	slices.SortStableFunc(byKey, func(a, b refscan.Reference) int { return strings.Compare(a.Key, b.Key) })
	c.writeRefsTable(out, folder, byKey, "KEY")
	c.writeRefsTable(out, folder, r.Missing, "DOES NOT EXIST")
	if len(r.Unreferenced) > 0 {
		fmt.Fprintln(out, c.paint.yellow("used nowhere here:"))
		for _, key := range r.Unreferenced {
			fmt.Fprintf(out, "  %s\n", singleLine(key))
		}
		fmt.Fprintln(out)
	}
	what := "flags"
	if all {
		what = "what looks like flags"
	}
	fmt.Fprintf(out, "%s to %s in %s (%d binary and %d large ones left out)\n",
		counted(len(r.References)+len(r.Missing), "reference"), what, counted(r.Files, "file"), r.Binary, r.Large)
}

func (c *client) writeRefsTable(out io.Writer, folder string, refs []refscan.Reference, head string) {
	if len(refs) == 0 {
		return
	}
	t := table{paint: c.paint, header: []string{head, "PLACE", "AS"}}
	for _, r := range refs {
		as := r.Alias
		if as == "" {
			as = r.Call
		}
		place := fmt.Sprintf("%s:%d:%d", filepath.Join(folder, filepath.FromSlash(r.Path)), r.Line, r.Column)
		t.add(cell{singleLine(r.Key), c.paint.bold}, plain(place), plain(as))
	}
	t.write(out)
	fmt.Fprintln(out)
}

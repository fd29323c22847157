package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/internal/manifest"
)

// The forms of files.
const (
	formatTidegate = "tidegate"
	formatFlagd    = "flagd"
)

func newExportCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		file   string
		format string
		skip   bool
	)
	cmd := &cobra.Command{
		Use:   "export [KEY...]",
		Short: "Write flags and segments in the form of files",
		Long: "Write the flags and segments of an environment in the form that 'tidegate apply'\n" +
			"reads: all of them, or only the flags named.\n\n" +
			"--format flagd writes a flagd definition, which any flagd provider evaluates as these\n" +
			"flags are evaluated here. Some have no form there, such as those with regular\n" +
			"expressions: that is an error, unless --skip-unsupported leaves them out.",
		Example: "  tidegate export --environment production -f flags.yaml\n  tidegate export new-checkout\n" +
			"  tidegate export --environment production --format flagd -f flags.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case format != formatTidegate && format != formatFlagd:
				return usagef("--format %s: expected %s or %s", format, formatTidegate, formatFlagd)
			case o.output != outputTable && (o.output != outputYAML || format == formatFlagd):
				return usagef("--output %s: files are YAML, or JSON with --format flagd; for others, see 'tidegate flag list -o json'", o.output)
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				if format == formatFlagd {
					return c.exportFlagd(ctx, args, file, skip)
				}
				d, revision, err := c.export(ctx, args)
				if err != nil {
					return err
				}
				comment := fmt.Sprintf("%s, revision %d", o.environment, revision)
				return c.writeFile(file, func(out io.Writer) error { return writeManifest(out, d, comment) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file to write, replaced as a whole; default: the standard output")
	cmd.Flags().StringVar(&format, "format", formatTidegate, "form of the file: tidegate or flagd")
	cmd.Flags().BoolVar(&skip, "skip-unsupported", false, "leave out flags that have no form in flagd, with a warning")
	return cmd
}

// export reads everything or, given keys, these flags.
func (c *client) export(ctx context.Context, keys []string) (*manifest.Document, int64, error) {
	d := &manifest.Document{}
	flags, err := c.listFlags(ctx, c.environment, "")
	if err != nil {
		return nil, 0, err
	}
	missing := slices.Clone(keys)
	for _, v := range flags.GetFlags() {
		if len(keys) == 0 || slices.Contains(keys, v.GetFlag().GetKey()) {
			d.Flags = append(d.Flags, v.GetFlag())
			missing = slices.DeleteFunc(missing, func(key string) bool { return key == v.GetFlag().GetKey() })
		}
	}
	if len(missing) > 0 {
		return nil, 0, c.noSuchFlags(missing)
	}
	if len(keys) > 0 {
		return d, flags.GetRevision(), nil
	}
	segments, err := c.listSegments(ctx, c.environment, "")
	if err != nil {
		return nil, 0, err
	}
	for _, v := range segments.GetSegments() {
		d.Segments = append(d.Segments, v.GetSegment())
	}
	return d, flags.GetRevision(), nil
}

func (c *client) noSuchFlags(keys []string) error {
	return fmt.Errorf("no such flag in %s: %s", c.environment, strings.Join(keys, ", "))
}

// writeFile writes to a file, or to the standard output if none is named.
func (c *client) writeFile(name string, write func(io.Writer) error) error {
	if name == "" || name == "-" {
		return write(c.out)
	}
	const readable = 0o644 // definitions are no secret
	return replaceFile(name, readable, write)
}

// writePrivateFile is writeFile for what not everybody is to read.
func (c *client) writePrivateFile(name string, write func(io.Writer) error) error {
	if name == "" || name == "-" {
		return write(c.out)
	}
	const private = 0o600
	return replaceFile(name, private, write)
}

// replaceFile writes a file whole or not at all.
func replaceFile(name string, mode os.FileMode, write func(io.Writer) error) error {
	return replaceVerified(name, mode, write, func(string) error { return nil })
}

// replaceVerified is replaceFile of what is looked at once it is on the disk, before it is there
// under its name.
func replaceVerified(name string, mode os.FileMode, write func(io.Writer) error, verify func(path string) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // it may be closed already
			_ = os.Remove(f.Name()) // best effort: the failure matters more
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(mode), f.Sync()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := verify(f.Name()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

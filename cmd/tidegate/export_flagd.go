package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/internal/flagd"
)

// exportFlagd writes a flagd definition of all flags or, given keys, of these. What has
// no form in flagd is an error, or is left out if skip says so.
func (c *client) exportFlagd(ctx context.Context, keys []string, file string, skip bool) error {
	d, _, err := c.export(ctx, nil) // flags depend on others, and on segments
	if err != nil {
		return err
	}
	missing := slices.Clone(keys)
	for _, f := range d.Flags {
		missing = slices.DeleteFunc(missing, func(key string) bool { return key == f.GetKey() })
	}
	if len(missing) > 0 {
		return c.noSuchFlags(missing)
	}
	exporter := flagd.Exporter{}
	if len(keys) > 0 {
		exporter.Keys = keys
	}
	data, omitted := exporter.Export(d.Flags, d.Segments, nil)
	if len(omitted) > 0 && !skip {
		lines := make([]string, len(omitted))
		for i, o := range omitted {
			lines[i] = "  " + o.Flag + ": " + o.Reason
		}
		return fmt.Errorf("flags without a form in flagd; nothing was written\n%s\npass --skip-unsupported to write the others",
			visible(strings.Join(lines, "\n")))
	}
	for _, o := range omitted {
		fmt.Fprintf(c.err, "%s left out %s: %s\n", c.paint.yellow("warning:"), o.Flag, visible(o.Reason))
	}
	return c.writeFile(file, func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	})
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/internal/manifest"
)

const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"
)

// checkOutput refuses forms that a command does not write: the common ones, and its own.
func checkOutput(output string, own ...string) error {
	forms := append([]string{outputTable, outputJSON, outputYAML}, own...)
	if slices.Contains(forms, output) {
		return nil
	}
	return usagef("--output %s: expected %s", output, alternatives(forms))
}

// alternatives writes a list of which one is meant.
func alternatives(list []string) string {
	last := len(list) - 1
	if last <= 0 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// show writes an answer: for people by the function, for machines as it is.
func (c *client) show(m proto.Message, table func(io.Writer)) error {
	switch c.output {
	case outputJSON:
		return writeJSON(c.out, m)
	case outputYAML:
		return writeYAML(c.out, m)
	}
	// All at once, so that a reader never sees half of an answer.
	var b bytes.Buffer
	table(&b)
	_, err := c.out.Write(b.Bytes())
	return err
}

// writeJSON writes a message as indented protojson, the same bytes for the same message.
func writeJSON(out io.Writer, m proto.Message) error {
	data, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil { // protojson varies its spaces
		return err
	}
	b.WriteByte('\n')
	_, err = out.Write(b.Bytes())
	return err
}

// writeJSONLine is writeJSON on one line.
func writeJSONLine(out io.Writer, m proto.Message) error {
	data, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err = out.Write(b.Bytes())
	return err
}

// showValue is show for what was not answered by a server but made here.
func (c *client) showValue(v any, table func(io.Writer)) error {
	switch c.output {
	case outputJSON:
		encoder := json.NewEncoder(c.out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	case outputYAML:
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return writeJSONAsYAML(c.out, data)
	}
	var b bytes.Buffer
	table(&b)
	_, err := c.out.Write(b.Bytes())
	return err
}

// writeYAML writes what writeJSON does, as YAML.
func writeYAML(out io.Writer, m proto.Message) error {
	data, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	return writeJSONAsYAML(out, data)
}

func writeJSONAsYAML(out io.Writer, data []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil { // JSON is YAML
		return err
	}
	blockStyle(&document)
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return err
	}
	_, err := out.Write(b.Bytes())
	return err
}

// blockStyle turns a node's JSON notation into YAML's own.
func blockStyle(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle | yaml.DoubleQuotedStyle
	for _, child := range n.Content {
		blockStyle(child)
	}
}

// writeManifest writes flags and segments in the form of files.
func writeManifest(out io.Writer, d *manifest.Document, comment string) error {
	data, err := manifest.Marshal(d)
	if err != nil {
		return err
	}
	if comment != "" {
		data = append([]byte("# "+comment+"\n"), data...)
	}
	_, err = fmt.Fprintf(out, "%s", data)
	return err
}

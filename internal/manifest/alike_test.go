package manifest

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
)

const alikeFlag = `apiVersion: tidegate/v1
flags:
  k:
    type: object
    enabled: true
    variants: {a: {}}
`

// The dashboard reads the text of a flag with a reader of its own: both read the lines of one
// table, so that what one refuses the other refuses, and what both take means the same.
func TestAlike(t *testing.T) {
	const path = "testdata/alike.txt"
	base := flagFields(t, "")
	var table bytes.Buffer
	for line := range strings.Lines(string(read(t, path))) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "= ") || strings.HasPrefix(line, "! ") {
			continue // an answer of before
		}
		table.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := Parse("k.yaml", []byte(alikeFlag+"    "+line+"\n")); err != nil {
			table.WriteString("! " + strings.ReplaceAll(err.Error(), "\n", " | ") + "\n")
			continue
		}
		fields := flagFields(t, line)
		for name, value := range base {
			if reflect.DeepEqual(fields[name], value) {
				delete(fields, name)
			}
		}
		means, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		table.WriteString("= " + string(means) + "\n")
	}
	golden(t, path, table.Bytes())
}

// flagFields are those of the flag with the line.
func flagFields(t *testing.T, line string) map[string]any {
	t.Helper()
	d, err := Parse("k.yaml", []byte(alikeFlag+"    "+line+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := protojson.Marshal(d.Flags[0])
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

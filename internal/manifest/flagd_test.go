package manifest

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// Every definition in testdata/flagd/valid has its meaning beside it.
func TestParseFlagd(t *testing.T) {
	for _, path := range definitions(t, "valid") {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			d, err := Parse(name, read(t, path))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, path+".golden", meaning(t, d))
			out, err := Marshal(d) // in our own form, nothing is lost
			if err != nil {
				t.Fatal(err)
			}
			again, err := Parse("canonical", out)
			if err != nil {
				t.Fatal(err)
			}
			requireSame(t, d, again)
		})
	}
}

// Every definition in testdata/flagd/invalid has its errors beside it.
func TestParseFlagdErrors(t *testing.T) {
	for _, path := range definitions(t, "invalid") {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			d, err := Parse(name, read(t, path))
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || d != nil {
				t.Fatalf("got %v, %v; want Errors", d, err)
			}
			golden(t, path+".txt", []byte(errs.Error()+"\n"))
		})
	}
}

func definitions(t *testing.T, folder string) []string {
	t.Helper()
	return append(glob(t, "testdata/flagd/"+folder+"/*.json"), glob(t, "testdata/flagd/"+folder+"/*.yaml")...)
}

func TestReadJSONErrors(t *testing.T) {
	for _, test := range []struct{ content, want string }{
		{``, "f.json:1:1: there is nothing in the file: it must begin with 'apiVersion: tidegate/v1'"},
		{`null`, "f.json:1:1: there is nothing in the file: it must begin with 'apiVersion: tidegate/v1'"},
		{`{}`, "f.json:1:1: apiVersion is missing: write 'apiVersion: tidegate/v1'"},
		{`{"flags": {}`, "f.json:1:13: an object lacks a ',' before this, or its '}'"},
		{"{\"flags\": {\n\t\"ä\": [1 2]}}", "f.json:2:10: a list lacks a ',' before this, or its ']'"},
		{`{"flags": {},}`, "f.json:1:14: a ',' comes before the '}': remove it"},
		{`[1,]`, "f.json:1:4: a ',' comes before the ']': remove it"},
		{`{"flags" {}}`, "f.json:1:10: a ':' is missing after the name"},
		{`{"flags":}`, "f.json:1:10: a value is missing"},
		{`{flags: {}}`, `f.json:1:2: a name in double quotes is expected here, as in {"name": "value"}`},
		{`{"flags": 'a'}`, "f.json:1:11: is not JSON: put texts in double quotes; without are numbers, true, false and null"},
		{`{"flags": 01}`, "f.json:1:11: is not JSON: put texts in double quotes; without are numbers, true, false and null"},
		{"{ // comment\n}", `f.json:1:3: a name in double quotes is expected here, as in {"name": "value"}`},
		{"{\"a\": // comment\n1}", "f.json:1:7: JSON has no comments: remove it"},
		{`{"a": "b`, "f.json:1:7: a text in quotes is not closed"},
		{"{\"a\": \"b\n\"}", `f.json:1:9: a line break, a tab or another control character stands in a text: write \n, \t or \u00XX, or close the text`},
		{`{"a": "ü\x"}`, `f.json:1:9: a text holds an unknown escape: write \\ for a backslash`},
		{`{"a": "\u12"}`, `f.json:1:8: a text holds an unknown escape: write \\ for a backslash`},
		{`{"a": "\ud834"}`, "f.json:1:8: a text holds half of a pair of escapes: write both, or the character itself"},
		{`{"a": "\udd1e\ud834"}`, "f.json:1:8: a text holds half of a pair of escapes: write both, or the character itself"},
		{`{"a": 1} {}`, "f.json:1:10: there is something after the end: remove it, or check the brackets before it"},
		{`[`, "f.json:1:2: a list is not closed: its ']' is missing"},
		{`{`, `f.json:1:2: a name in double quotes is expected here, as in {"name": "value"}`},
		{strings.Repeat("[", 502) + strings.Repeat("]", 502), "f.json:1:502: is nested too deeply"},
		{"\xff\xfe{\x00", "f.json:1:1: is UTF-16: save the file as UTF-8"},
	} {
		if _, err := Parse("f.json", []byte(test.content)); err == nil || err.Error() != test.want {
			t.Errorf("%s\ngot  %v\nwant %s", test.content, err, test.want)
		}
	}
}

// What looks like JSON and is YAML is read as YAML, unless its name says otherwise; what
// is neither has the error of what it looks like.
func TestJSONOrYAML(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"f.yaml", `{"apiVersion": tidegate/v1}`, ""},
		{"f", "\ufeff{\"flags\": {\"a\": {\"state\": \"DISABLED\",\r\n\t\"variants\": {\"on\": true}}}}", ""},
		{"f.JSON", `{"apiVersion": tidegate/v1}`, "f.JSON:1:16: is not JSON: put texts in double quotes; without are numbers, true, false and null"},
		{"f.yaml", `{"apiVersion": "tidegate/v1"`, "f.yaml:1:29: an object lacks a ',' before this, or its '}'"},
		{
			"f.json", `{"apiVersion": "tidegate/v1", "flags": {"a": {"state": "ENABLED"}}}`,
			"f.json:1:41: flags[a].type: is missing: one of boolean, string, integer, double, object\n" +
				"f.json:1:41: flags[a].variants: is missing: at least one, as in {on: true, off: false}\n" +
				"f.json:1:47: flags[a].state: unknown field: did you mean 'enabled'?",
		},
	} {
		_, err := Parse(test.name, []byte(test.content))
		if got := errorText(err); got != test.want {
			t.Errorf("%s %s\ngot  %s\nwant %s", test.name, test.content, got, test.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The server names fields of the flag, the file has others.
func TestLocateFlagd(t *testing.T) {
	d, err := Parse("everything.json", read(t, "testdata/flagd/valid/everything.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ field, want string }{
		{"flags[boolean-flag].enabled", "everything.json:6:13: flags[boolean-flag].state: problem"},
		{"flags[boolean-flag].default_outcome.variant", "everything.json:8:22: flags[boolean-flag].defaultVariant: problem"},
		{"flags[null-default].rules[0].outcome.expression.if[0].==[1]", "everything.json:42:54: flags[null-default].targeting.if[0].==[1]: problem"},
		{"flags[my.flag_with-everything].rules[0].outcome.expression.if[4].in[1].var[0]", "everything.json:76:49: $evaluators[is-member].in[1].var[0]: problem"},
		{"flags[boolean-flag].metadata.flagSetId", "everything.json:3:28: metadata.flagSetId: problem"},
		{"flags[string-flag].metadata.owner", "everything.json:14:26: flags[string-flag].metadata.owner: problem"},
	} {
		e, ok := d.Explain(test.field, "problem")
		if !ok || e.Error() != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.field, e.Error(), test.want)
		}
	}
}

package doccommands

import (
	"reflect"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	document := strings.ReplaceAll(`# Title

Say ''tool list'', ''other list'' or ''tool get KEY''.

    tool set a --why "it | is > so"    # ann
    $ tool get b > b.txt && tool get c >> c.txt
    HOME=x tool apply -f - < file
    other export | tool apply -f - \
        --now
    # tool comment
    toolbox open

'''yaml
tool: no
    tool not this
'''
'''sh
tool list
'''
`, "''", "`")
	document = strings.ReplaceAll(document, "`'", "```")
	want := []Call{
		{Line: 3, Args: []string{"list"}, Inline: true},
		{Line: 3, Args: []string{"get", "KEY"}, Inline: true},
		{Line: 5, Args: []string{"set", "a", "--why", "it | is > so"}, Comment: "ann"},
		{Line: 6, Args: []string{"get", "b"}, Out: "b.txt"},
		{Line: 6, Args: []string{"get", "c"}, Out: "c.txt", Appends: true},
		{Line: 7, Args: []string{"apply", "-f", "-"}, In: "file"},
		{Line: 8, Args: []string{"apply", "-f", "-", "--now"}, Piped: true},
		{Line: 18, Args: []string{"list"}},
	}
	got := Of(document, "tool")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

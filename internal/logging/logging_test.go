package logging

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l, err := New(&b, "info", "auto")
	if err != nil {
		t.Fatal(err)
	}
	l.Debug().Msg("not written")
	l.Info().Str("flag", "a").Msg("written")
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("auto, not on a terminal, is not one JSON line: %q: %v", b.String(), err)
	}
	if got["level"] != "info" || got["message"] != "written" || got["flag"] != "a" || got["time"] == nil {
		t.Errorf("got %v", got)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l, err := New(&b, "debug", "console")
	if err != nil {
		t.Fatal(err)
	}
	l.Debug().Str("flag", "a").Msg("written")
	if got := b.String(); !strings.Contains(got, "DBG written flag=a") || strings.Contains(got, "\x1b") {
		t.Errorf("got %q, want a plain line", got)
	}
}

// A file is not a terminal.
func TestFile(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := New(f, "info", "auto")
	if err != nil {
		t.Fatal(err)
	}
	l.Info().Msg("written")
	data, err := os.ReadFile(f.Name())
	if err != nil || !json.Valid(data) {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ level, format, says string }{
		{"loud", "json", Levels}, {"", "json", Levels}, {"info", "xml", Formats}, {"info", "", Formats},
	} {
		if _, err := New(&bytes.Buffer{}, c.level, c.format); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("level %q, format %q: got %v, want an error that says %q", c.level, c.format, err, c.says)
		}
	}
}

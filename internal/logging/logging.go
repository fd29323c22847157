// Package logging makes the logger of a process.
package logging

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// Formats and Levels are what New takes, for help texts.
const (
	Formats = "auto, console or json"
	Levels  = "debug, info, warn or error"
)

// New makes a logger of a level and a format (see [Levels], [Formats]); 'auto' is
// console on a terminal, else JSON.
func New(w io.Writer, level, format string) (zerolog.Logger, error) {
	l, err := zerolog.ParseLevel(level)
	if err != nil || level == "" {
		return zerolog.Nop(), fmt.Errorf("log level %q: use %s", level, Levels)
	}
	terminal := isTerminal(w)
	switch format {
	case "auto":
		if terminal {
			w = console(w, true)
		}
	case "console":
		w = console(w, terminal)
	case "json":
	default:
		return zerolog.Nop(), fmt.Errorf("log format %q: use %s", format, Formats)
	}
	return zerolog.New(w).Level(l).With().Timestamp().Logger(), nil
}

func console(w io.Writer, colour bool) io.Writer {
	return zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !colour || os.Getenv("NO_COLOR") != ""}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

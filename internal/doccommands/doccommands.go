// Package doccommands finds command lines in documents, so that tests can hold them to what the
// commands are. It knows as much of Markdown and of the shell as documents here use.
package doccommands

import (
	"slices"
	"strings"
)

// Call is a command that a document calls.
type Call struct {
	// Line is the number of the line at which it begins, from 1.
	Line int
	// Args are its words, without the program, redirections and variables before it.
	Args []string
	// In and Out are the files of the standard input and output; empty: none. Appends: to Out.
	In, Out string
	Appends bool
	// Piped: its input is another command's output.
	Piped bool
	// Comment is what follows a '#' on the last line.
	Comment string
	// Inline: it is named in a sentence, where what does not matter is left out.
	Inline bool
}

// Of are the calls of a program in a document's code, in their order.
func Of(document, program string) []Call {
	var calls []Call
	fenced, shell := false, false
	var joined string
	first := 0
	for i, line := range strings.Split(document, "\n") {
		if mark, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			fenced = !fenced
			shell = fenced && (mark == "" || mark == "sh" || mark == "bash" || mark == "console")
			continue
		}
		indented := strings.HasPrefix(line, "    ")
		if !shell && (fenced || !indented) {
			calls = append(calls, inline(line, i+1, program)...)
			continue
		}
		if joined == "" {
			first = i + 1
			line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		}
		joined += strings.TrimSpace(line)
		if before, ok := strings.CutSuffix(joined, `\`); ok {
			joined = before
			continue
		}
		calls = append(calls, callsIn(joined, first, program)...)
		joined = ""
	}
	return calls
}

// inline are the calls in a line's `code`.
func inline(line string, number int, program string) []Call {
	var calls []Call
	for i, code := range strings.Split(line, "`") {
		if i%2 == 0 || !strings.HasPrefix(code, program+" ") {
			continue
		}
		for _, call := range callsIn(code, number, program) {
			call.Inline = true
			calls = append(calls, call)
		}
	}
	return calls
}

// callsIn are the calls of a program in one command line.
func callsIn(line string, number int, program string) []Call {
	words, comment := split(line)
	var calls []Call
	piped := false
	for len(words) > 0 {
		end := slices.IndexFunc(words, func(w word) bool { return w.operator && slices.Contains([]string{"|", "||", "&&", ";"}, w.text) })
		command := words
		if end >= 0 {
			command = words[:end]
		}
		if call, ok := callOf(command, program); ok {
			call.Line, call.Comment, call.Piped = number, comment, piped
			calls = append(calls, call)
		}
		if end < 0 {
			break
		}
		piped, words = words[end].text == "|", words[end+1:]
	}
	return calls
}

func callOf(words []word, program string) (Call, bool) {
	for len(words) > 0 && strings.Contains(words[0].text, "=") { // VARIABLE=VALUE
		words = words[1:]
	}
	if len(words) == 0 || words[0].operator || words[0].text != program {
		return Call{}, false
	}
	call := Call{Args: []string{}}
	for i := 1; i < len(words); i++ {
		w := words[i]
		if !w.operator {
			call.Args = append(call.Args, w.text)
			continue
		}
		if i+1 == len(words) {
			break
		}
		i++
		switch file := words[i].text; w.text {
		case "<":
			call.In = file
		case ">", ">>":
			call.Out, call.Appends = file, w.text == ">>"
		}
	}
	return call, true
}

// word is one of a command line; an operator, such as >, if it is not quoted.
type word struct {
	text     string
	operator bool
}

// split splits a command line into words, and what is commented.
func split(line string) (words []word, comment string) {
	var text strings.Builder
	var quote byte
	inWord := false
	end := func() {
		if inWord {
			words = append(words, word{text: text.String()})
		}
		text.Reset()
		inWord = false
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			text.WriteByte(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ':
			end()
		case c == '#' && !inWord:
			return words, strings.TrimSpace(line[i+1:])
		case strings.IndexByte("|&;<>", c) >= 0:
			end()
			operator := string(c)
			if i+1 < len(line) && line[i+1] == c {
				operator, i = operator+operator, i+1
			}
			words = append(words, word{operator, true})
		default:
			text.WriteByte(c)
			inWord = true
		}
	}
	end()
	return words, ""
}

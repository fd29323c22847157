package gitignore

import (
	"regexp"
	"strings"
)

// translate writes a pattern as a regular expression, which takes time linear in the path
// whatever the pattern; ok is false if the pattern can match nothing.
func translate(pattern string, base bool) (source string, ok bool) {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	elements := strings.Split(pattern, "/")
	for i, element := range elements {
		last := i == len(elements)-1
		switch {
		case element == "**" && base:
			b.WriteString(`.*`)
		case element == "**" && last:
			b.WriteString(`.+`)
		case element == "**":
			b.WriteString(`(?:.*/)?`)
		default:
			if !translateElement(&b, element) {
				return "", false
			}
			if !last {
				b.WriteByte('/')
			}
		}
	}
	b.WriteByte('$')
	return b.String(), true
}

// translateElement writes what stands between two slashes.
func translateElement(b *strings.Builder, element string) bool {
	for i := 0; i < len(element); {
		switch element[i] {
		case '*':
			b.WriteString(`[^/]*`)
			i++
		case '?':
			b.WriteString(`[^/]`)
			i++
		case '[':
			n := translateClass(b, element[i:])
			if n == 0 {
				return false
			}
			i += n
		case '\\':
			i++
			if i == len(element) {
				return false
			}
			fallthrough
		default:
			n := literalLength(element[i:])
			b.WriteString(regexp.QuoteMeta(element[i : i+n]))
			i += n
		}
	}
	return true
}

// literalLength is how much of the text stands for itself; its first byte does.
func literalLength(text string) int {
	if n := strings.IndexAny(text[1:], `*?[\`); n >= 0 {
		return n + 1
	}
	return len(text)
}

// translateClass writes the bracket expression that the text begins with, and returns its
// length; 0: it is not closed.
func translateClass(b *strings.Builder, text string) int {
	i := 1
	b.WriteByte('[')
	if i < len(text) && (text[i] == '!' || text[i] == '^') {
		b.WriteString(`^/`)
		i++
	}
	for first := true; i < len(text); first = false {
		switch {
		case text[i] == ']' && !first:
			b.WriteByte(']')
			return i + 1
		case strings.HasPrefix(text[i:], "[:"):
			end := strings.Index(text[i:], ":]")
			if end < 0 {
				return 0
			}
			b.WriteString(text[i : i+end+len(":]")])
			i += end + len(":]")
		case text[i] == '-' && !first && i+1 < len(text) && text[i+1] != ']':
			b.WriteByte('-')
			i++
		case text[i] == '\\' && i+1 < len(text):
			i++
			fallthrough
		default:
			if strings.IndexByte(`\]^[-`, text[i]) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(text[i])
			i++
		}
	}
	return 0
}

package refscan

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// forms are the ways to write the words of a key, by the name that an alias form uses.
var forms = map[string]func(key string) string{
	"key":        func(key string) string { return key },
	"camel":      func(key string) string { return lowerFirst(pascal(key)) },
	"pascal":     pascal,
	"snake":      func(key string) string { return strings.ToLower(strings.Join(words(key), "_")) },
	"upperSnake": func(key string) string { return strings.ToUpper(strings.Join(words(key), "_")) },
	"kebab":      func(key string) string { return strings.ToLower(strings.Join(words(key), "-")) },
}

// Forms lists the names between braces that Expand knows.
const Forms = "{key}, {camel}, {pascal}, {snake}, {upperSnake} or {kebab}"

// Expand makes the alias of a key: the form, in which a name between braces stands for the
// key's words written so. Of new-checkout:
//
//	{key} new-checkout  {camel} newCheckout  {pascal} NewCheckout
//	{snake} new_checkout  {upperSnake} NEW_CHECKOUT  {kebab} new-checkout
func Expand(form, key string) (string, error) {
	before, rest, open := strings.Cut(form, "{")
	name, after, closed := strings.Cut(rest, "}")
	write, known := forms[name]
	switch {
	case !open || !closed:
		return "", fmt.Errorf("alias form %q: expected one of %s in it", form, Forms)
	case !known:
		return "", fmt.Errorf("alias form %q: %q is not known; expected %s", form, name, Forms)
	case strings.ContainsAny(after, "{}"):
		return "", fmt.Errorf("alias form %q: %w", form, errTwoBraces)
	}
	return before + write(key) + after, nil
}

var errTwoBraces = errors.New("expected one pair of braces")

// words splits a key where it has signs, and where a capital follows a small letter.
func words(key string) []string {
	var (
		list    []string
		current strings.Builder
		before  rune
	)
	end := func() {
		if current.Len() > 0 {
			list = append(list, current.String())
			current.Reset()
		}
	}
	for _, r := range key {
		if unicode.IsUpper(r) && (unicode.IsLower(before) || unicode.IsDigit(before)) {
			end()
		}
		before = r
		if r == '.' || r == '_' || r == '-' {
			end()
			continue
		}
		current.WriteRune(r)
	}
	end()
	return list
}

func pascal(key string) string {
	var b strings.Builder
	for _, w := range words(key) {
		b.WriteString(strings.ToUpper(w[:1]) + strings.ToLower(w[1:]))
	}
	return b.String()
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

package main

import (
	"fmt"
	"strings"
)

// replace puts text between the markers of a part.
func replace(page, name, text string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "\n<!-- /"+name+" -->"
	for _, marker := range []string{begin, end} {
		if n := strings.Count(page, marker); n != 1 {
			return "", fmt.Errorf("the page has %d lines %s; there must be one, at which the part %q is put",
				n, strings.TrimSpace(marker), name)
		}
	}
	before, rest, _ := strings.Cut(page, begin)
	_, after, ok := strings.Cut("\n"+rest, end)
	if !ok {
		return "", fmt.Errorf("in the page %s must stand before %s", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + text + end + after, nil
}

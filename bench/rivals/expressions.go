package main

import (
	"fmt"
	"io"
	"strings"
)

// expression is a JsonLogic expression, in flagd's dialect, that names the variant "on"
// or "off" of the flag expressionFlag.
type expression struct {
	name, json string
	on         bool
}

const expressionFlag = "flag"

func expressions() []expression {
	var keys strings.Builder
	for i := range 9_999 {
		fmt.Fprintf(&keys, "\"user-%d\", ", i)
	}
	return []expression{
		{"ends_with", `{"if": [{"ends_with": [{"var": "email"}, "@mycompany.com"]}, "on", "off"]}`, true},
		{"ends_with and fractional", `{"if": [{"ends_with": [{"var": "email"}, "@mycompany.com"]},
			{"fractional": [["on", 99999], ["off", 1]]}, "off"]}`, true},
		{"in, 10,000 elements", `{"if": [{"in": [{"var": "targetingKey"}, [` + keys.String() + `"` + targetingKey + `"]]}, "on", "off"]}`, true},
		{"nested if, and, or", `{"if": [{"and": [{"==": [{"var": "country"}, "Canada"]},
			{"or": [{"==": [{"var": "plan"}, "free"]}, {"in": [{"var": "device"}, ["ios", "android"]]}]}]},
			{"if": [{"!=": [{"var": "language"}, "en"]}, "on", "off"]}, "off"]}`, true},
		{"sem_ver", `{"if": [{"sem_ver": [{"var": "version"}, ">=", "2.4.0"]}, "on", "off"]}`, false},
	}
}

// expressionAttributes are those of the other cases, and a version.
func expressionAttributes() map[string]any {
	a := map[string]any{"version": "2.3.17"}
	for name, value := range attributes {
		a[name] = value
	}
	return a
}

// evaluators evaluate expressions.
var evaluators = []entrant[expression]{
	{"EvaluateFlag", newExpression},
	{"jsonlogic, decoded", newJSONLogic},
	{"jsonlogic, as flagd calls it", newFlagd},
}

// compareExpressions prints the table of expressions, and how many times faster this
// project's engine is.
func compareExpressions(w io.Writer, m measurement) error {
	header(w, "expression", evaluators, "decoded / EvaluateFlag", "as flagd calls it / EvaluateFlag")
	var decoded, flagd geometricMean
	for _, e := range expressions() {
		f, err := race(m, evaluators, e, e.name, e.on)
		if err != nil {
			return err
		}
		row(w, e.name, f, decoded.ratio(f[1], f[0]), flagd.ratio(f[2], f[0]))
	}
	row(w, "geometric mean", make([]figure, len(evaluators)), decoded.String(), flagd.String())
	return nil
}

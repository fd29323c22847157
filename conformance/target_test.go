//go:build conformance

package conformance

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// target is one provider of one language in one mode: what the checks run against.
type target struct {
	language string
	mode     string // rpc, in-process or ofrep
	// bucketing is the version of 'fractional' that the provider evaluates with; of those
	// that ask the relay, what the relay evaluates with.
	bucketing int
	command   []string
	dir       string
	bed       *bed
}

func (to target) String() string { return to.language + " " + to.mode }

// bucketing1 is flagd's 'fractional' before version 2, which tidegate does not have.
const bucketing1 = 1

var languages = flag.String("languages", "node python java", "the languages whose providers are run")

// targets are all of them. Node's in-process provider evaluates 'fractional' by version 2,
// Python's by version 3 from 0.6 on (which is why 0.5 is here too), and Java's by version 1.
func targets(b *bed) []target {
	python := func(venv string) []string { return []string{pythonIn(venv), "main.py"} }
	java := []string{
		"java", "-cp", "target/classes" + string(os.PathListSeparator) + "target/dependency/*", "dev.tidegate.conformance.Main",
	}
	all := map[string][]target{
		"node": {
			{"node", "rpc", 2, []string{"node", "main.mjs"}, "node", b},
			{"node", "in-process", 2, []string{"node", "main.mjs"}, "node", b},
			{"node", "ofrep", 2, []string{"node", "main.mjs"}, "node", b},
		},
		"python": {
			{"python", "rpc", 2, python(".venv"), "python", b},
			{"python", "in-process", 3, python(".venv"), "python", b},
			{"python", "ofrep", 2, python(".venv"), "python", b},
			{"python 0.5", "in-process", 2, python(".venv-v2"), "python", b},
		},
		"java": {
			{"java", "rpc", 2, java, "java", b},
			{"java", "in-process", bucketing1, java, "java", b},
		},
	}
	var chosen []target
	for _, language := range strings.Fields(*languages) {
		chosen = append(chosen, all[language]...)
	}
	return chosen
}

// pythonIn is the interpreter of a virtual environment.
func pythonIn(venv string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(venv, "Scripts", "python.exe")
	}
	return filepath.Join(venv, "bin", "python")
}

// port is where the provider finds its service.
func (to target) port() int {
	switch to.mode {
	case "rpc":
		return to.bed.grpc
	case "in-process":
		return to.bed.sync
	default:
		return to.bed.http
	}
}

// selector names the environment whose flags have the provider's bucketing version; empty:
// the relay's default.
func (to target) selector() string {
	if to.bucketing == 3 {
		return "flagSetId=" + version3
	}
	return ""
}

// environment is where the provider's flags are.
func (to target) environment() string {
	if to.bucketing == 3 {
		return version3
	}
	return version2
}

// remote is whether the relay evaluates, and not the provider.
func (to target) remote() bool { return to.mode != "in-process" }

// installed says what is missing on this machine.
func installed() error {
	paths := map[string]string{
		"node": "node/node_modules", "python": "python/.venv-v2", "java": "java/target/dependency",
	}
	for _, language := range strings.Fields(*languages) {
		path, known := paths[language]
		if !known {
			return fmt.Errorf("-languages: unknown language %q: want node, python or java", language)
		}
		if _, err := os.Stat(filepath.FromSlash(path)); err != nil {
			return fmt.Errorf("the providers of %s are not installed: run 'make conformance'", language)
		}
	}
	return nil
}

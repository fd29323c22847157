// Package deptest holds the project's dependency rules, each with its reason. It has
// no code: the rules are tests.
package deptest

import (
	"os/exec"
	"path"
	"strings"
	"testing"
)

const module = "github.com/tidegate/tidegate"

// rule bans imports. Patterns are path prefixes ('a/b' also bans 'a/b/c').
type rule struct {
	name   string
	reason string
	// from are the packages (prefixes) that the rule binds; except are not bound.
	from, except []string
	// banned must not be imported; allowed, if set, is all that may be (besides the
	// standard library).
	banned, allowed []string
	// deps: everything that the package links counts, not only its own imports.
	deps bool
}

var rules = []rule{
	{
		name:    "eval is pure",
		reason:  "the engine must run anywhere, and be tested without anything",
		from:    []string{module + "/eval"},
		allowed: []string{module + "/gen/go/tidegate/flag/v1", "google.golang.org/protobuf"},
	},
	{
		name:   "eval has no I/O, clock or log",
		reason: "an answer depends on the snapshot and the context alone",
		from:   []string{module + "/eval"},
		banned: []string{"os", "net", "io", "log", "context", "time/tzdata", "google.golang.org/grpc"},
	},
	{
		name:    "the statistics are pure",
		reason:  "a decision is replayed bit for bit, from what was recorded and nothing else",
		from:    []string{module + "/internal/guardrail"},
		allowed: []string{module + "/internal/guardrail"},
	},
	{
		name:   "one package speaks to etcd",
		reason: "the store's contract is small enough to test on every implementation",
		from:   []string{module},
		except: []string{module + "/controlplane/store/etcdstore", module + "/controlplane/store/etcdtest"},
		banned: []string{"go.etcd.io"},
	},
	{
		name:   "the authority knows no transport",
		reason: "requests and responses are plain messages; the server maps errors once",
		from:   []string{module + "/controlplane"},
		except: []string{module + "/controlplane/store/etcdstore", module + "/controlplane/store/etcdtest", module + "/controlplane/notify/webhook"},
		banned: []string{"google.golang.org/grpc", "net/http", module + "/server", module + "/internal/rpc", module + "/internal/hub"},
	},
	{
		name:   "relay stands alone",
		reason: "relay, server and SDK meet in protocols, not in code",
		from:   []string{module + "/relay"},
		banned: []string{module + "/server", module + "/clientsdk", module + "/controlplane"},
		deps:   true,
	},
	{
		name:   "server stands alone",
		reason: "relay, server and SDK meet in protocols, not in code",
		from:   []string{module + "/server"},
		banned: []string{module + "/relay", module + "/clientsdk"},
		deps:   true,
	},
	{
		name:   "the SDK stands alone",
		reason: "what users link into their services must stay small",
		from:   []string{module + "/clientsdk"},
		banned: []string{module + "/relay", module + "/server", module + "/controlplane", "connectrpc.com", "github.com/spf13"},
		deps:   true,
	},
	{
		name:   "the relay is light",
		reason: "an edge process has no database and no dashboard",
		from:   []string{module + "/cmd/tidegate-relay"},
		banned: []string{"go.etcd.io", module + "/controlplane", module + "/server", module + "/dashboard"},
		deps:   true,
	},
	{
		name:   "serving and receiving are separate",
		reason: "the hub and the follower are joined by the protocol only",
		from:   []string{module + "/internal/hub"},
		banned: []string{module + "/internal/follower"},
		deps:   true,
	},
	{
		name:   "definitions are written, not sent",
		reason: "every relay and command writes them, whatever it reads flags from",
		from:   []string{module + "/internal/flagd"},
		banned: []string{"google.golang.org/grpc", "go.yaml.in", module + "/eval"},
	},
	{
		name:   "commands are leaves",
		reason: "what is in cmd or bench cannot be reused; move it where it can",
		from:   []string{module},
		except: []string{module + "/bench"},
		banned: []string{module + "/cmd", module + "/bench"},
	},
}

func TestRules(t *testing.T) {
	t.Parallel()
	packages := list(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			bound := 0
			for p, imports := range packages {
				if !strings.HasPrefix(p, module) || !matches(p, r.from) || matches(p, r.except) {
					continue
				}
				bound++
				if r.deps {
					imports = closure(packages, p)
				}
				for _, i := range imports {
					if r.breaks(i) {
						t.Errorf("%s imports %s: %s", p, i, r.reason)
					}
				}
			}
			if bound == 0 {
				t.Errorf("the rule binds no package: was %v renamed?", r.from)
			}
			for _, b := range r.banned {
				if own := strings.HasPrefix(b, module); own && !known(packages, b) && !planned(b) {
					t.Errorf("banned package %s does not exist: was it renamed?", b)
				}
			}
		})
	}
}

// planned packages are banned before they exist.
func planned(p string) bool { return p == module+"/dashboard" }

func (r rule) breaks(imported string) bool {
	if len(r.allowed) > 0 {
		standard := !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
		return !standard && !matches(imported, r.allowed)
	}
	return matches(imported, r.banned)
}

func matches(p string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if p == prefix || strings.HasPrefix(p, prefix+"/") {
			return true
		}
	}
	return false
}

func known(packages map[string][]string, p string) bool {
	for k := range packages {
		if matches(k, []string{p}) {
			return true
		}
	}
	return false
}

// list returns the imports of every package of the module and of what it links.
func list(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = path.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			packages[fields[0]] = fields[1:]
		}
	}
	return packages
}

func closure(packages map[string][]string, root string) []string {
	seen := map[string]bool{root: true}
	queue := []string{root}
	for i := 0; i < len(queue); i++ {
		for _, p := range packages[queue[i]] {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return queue[1:]
}

package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tidegate/tidegate/controlplane/notify"
)

const (
	apiVersion = "tidegate/v1"
	// maxFile and maxSecret bound what is read, in bytes.
	maxFile   = 1 << 20
	maxSecret = 16 << 10
)

var environmentPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Load reads the file that configures the targets, and the secrets that it refers to. The
// error is an Errors if it is the file's content that is wrong; no secret is in it.
//
//	apiVersion: tidegate/v1
//	dashboard: https://tidegate.example.com   # where links lead; none: no links
//	targets:
//	  - name: payments-oncall                 # rollouts name it in 'notify'
//	    kind: slack                           # or Mattermost
//	    urlFile: /run/secrets/slack-payments  # or urlEnv: NAME
//	    environments: [production]            # none: all
//	    events: [rolled_back, tripped]        # none: started, completed, rolled_back, tripped, aborted, frozen, lifted
//	  - name: incident-bot
//	    kind: webhook
//	    url: https://bot.example.com/tidegate # or urlFile, urlEnv
//	    secretEnv: BOT_SECRET                 # or secretFile: whsec_..., several while one is replaced
//	    events: [audited]                     # what is sealed of the audit trails
//
// Files are found from where the file is. A URL must be https, unless it leads to this very
// host or the target says 'insecureHTTP: true'.
func Load(name string) ([]notify.Target, error) {
	data, err := readBounded(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("notification targets: %w", err)
	}
	return parse(name, data, os.LookupEnv)
}

// parse reads the file's content; environment variables come from lookup.
func parse(name string, data []byte, lookup func(string) (string, bool)) ([]notify.Target, error) {
	d := &decoder{file: name}
	c := &config{decoder: d, dir: filepath.Dir(name), lookup: lookup}
	root := d.document(data)
	if root == nil {
		return nil, d.errs
	}
	var version string
	present := d.fields(root, "", map[string]func(*yaml.Node, string){
		"apiVersion": d.text(&version),
		"dashboard":  c.dashboardURL,
		"targets": func(n *yaml.Node, path string) {
			d.list(n, path, c.target)
		},
	})
	if root.Kind != yaml.MappingNode {
		return nil, d.errs
	}
	switch {
	case present["apiVersion"] == nil:
		d.fail(root, "apiVersion", "is missing: write 'apiVersion: %s'", apiVersion)
	case version != "" && version != apiVersion:
		d.fail(present["apiVersion"], "apiVersion", "unknown version %q: expected %s", version, apiVersion)
	}
	if present["targets"] == nil {
		d.fail(root, "targets", "is missing: a list of targets, each with at least name, kind and where it is")
	}
	if len(c.targets) > notify.MaxTargets {
		d.fail(present["targets"], "targets", "are %d: at most %d", len(c.targets), notify.MaxTargets)
	}
	if len(d.errs) > 0 {
		d.errs.sort()
		return nil, d.errs
	}
	// Links are only known once the whole file is: 'dashboard' may come last.
	transport := newTransport()
	targets := make([]notify.Target, 0, len(c.targets))
	for _, t := range c.targets {
		t.endpoint.dashboard, t.endpoint.transport = c.dashboard, transport
		t.target.Host, t.target.Sender = t.endpoint.url.Host, t.endpoint
		targets = append(targets, t.target)
	}
	return targets, nil
}

// config is what has been read so far.
type config struct {
	*decoder
	dir       string
	lookup    func(string) (string, bool)
	dashboard *url.URL
	targets   []configured
}

type configured struct {
	target   notify.Target
	endpoint *endpoint
}

func (c *config) dashboardURL(n *yaml.Node, path string) {
	var text string
	c.text(&text)(n, path)
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		c.fail(n, path, "must be the address that people open, as https://tidegate.example.com, without user, query and fragment")
		return
	}
	c.dashboard = u
}

// origin says where a value that may be secret comes from.
type origin struct {
	value, file, env string
	// at is where the one that is given stands; given is how many are.
	at    *yaml.Node
	path  string
	given int
}

func (c *config) target(n *yaml.Node, path string) {
	var (
		kind, name    string
		events        []string
		insecure      bool
		where, secret origin
		t             = configured{endpoint: &endpoint{now: time.Now}}
		at            = func(o *origin, into *string) func(*yaml.Node, string) {
			return func(n *yaml.Node, path string) {
				o.at, o.path, o.given = n, path, o.given+1
				c.text(into)(n, path)
			}
		}
	)
	present := c.fields(n, path, map[string]func(*yaml.Node, string){
		"name":         c.text(&name),
		"kind":         c.text(&kind),
		"url":          at(&where, &where.value),
		"urlFile":      at(&where, &where.file),
		"urlEnv":       at(&where, &where.env),
		"secretFile":   at(&secret, &secret.file),
		"secretEnv":    at(&secret, &secret.env),
		"insecureHTTP": c.boolean(&insecure),
		"environments": c.texts(&t.target.Environments, func(n *yaml.Node, path, text string) {
			if !environmentPattern.MatchString(text) {
				c.fail(n, path, "must be the name of an environment: lower-case letters, digits and hyphens, a letter first")
			}
		}),
		"events": c.texts(&events, func(n *yaml.Node, path, text string) {
			if !slices.Contains(notify.Kinds(), notify.Kind(text)) {
				c.fail(n, path, "unknown event %q: expected one of %s", text, joinKinds())
			}
		}),
	})
	if n.Kind != yaml.MappingNode {
		return
	}
	t.target.Name, t.target.Transport = name, kind
	for _, e := range events {
		t.target.Kinds = append(t.target.Kinds, notify.Kind(e))
	}
	c.checkName(n, present["name"], path, name)
	switch kind {
	case "slack":
		t.endpoint.slack = true
		fallthrough
	case "webhook":
		c.location(n, path, &t, &where, insecure)
		c.secrets(n, path, &t, &secret)
	case "":
		if present["kind"] == nil {
			c.fail(n, path+".kind", "is missing: slack or webhook")
		}
	default:
		c.fail(present["kind"], path+".kind", "unknown kind %q: expected slack or webhook", kind)
	}
	c.targets = append(c.targets, t)
}

func (c *config) checkName(n, at *yaml.Node, path, name string) {
	if at == nil {
		c.fail(n, path+".name", "is missing: rollouts name the target by it")
		return
	}
	probe := notify.Target{Name: name, Sender: &endpoint{}}
	if err := probe.Check(); err != nil && name != "" {
		c.fail(at, path+".name", "has 1 to 63 letters, digits, dots, hyphens and underscores, and begins with a letter or digit")
	}
	for _, other := range c.targets {
		if other.target.Name == name && name != "" {
			c.fail(at, path+".name", "another target has the name %q", name)
		}
	}
}

// location reads where the target is. The URL itself is never shown.
func (c *config) location(n *yaml.Node, path string, t *configured, o *origin, insecure bool) {
	slack := t.endpoint.slack
	switch {
	case o.given == 0 && slack:
		c.fail(n, path, "where is it? Name a file that holds the webhook's URL in urlFile, or an environment variable in urlEnv")
		return
	case o.given == 0:
		c.fail(n, path, "where is it? Give it a url, a urlFile or a urlEnv")
		return
	case o.given > 1:
		c.fail(o.at, o.path, "one of url, urlFile and urlEnv says where the target is: remove the others")
		return
	case slack && o.value != "":
		c.fail(o.at, o.path, "whoever knows a Slack webhook's URL can write to the channel: put it into a file and name that in urlFile, or into an environment variable and name that in urlEnv")
		return
	}
	text, ok := c.resolve(o)
	if !ok {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "": // what is wrong with it would show it
		c.fail(o.at, o.path, "does not lead to a URL: expected https://HOST/PATH")
	case u.User != nil:
		c.fail(o.at, o.path, "leads to a URL with a user: leave it out, events are signed")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		c.fail(o.at, o.path, "leads to %s over http, where everybody on the way can read along: use https, or say 'insecureHTTP: true'", u.Host)
	case u.Scheme != "https" && u.Scheme != "http":
		c.fail(o.at, o.path, "does not lead to a URL of https: expected https://HOST/PATH")
	default:
		u.Fragment = ""
		t.endpoint.url = u
	}
}

// secrets reads what events are signed with.
func (c *config) secrets(n *yaml.Node, path string, t *configured, o *origin) {
	switch {
	case t.endpoint.slack && o.given > 0:
		c.fail(o.at, o.path, "is of no use: Slack webhooks are not signed; remove it")
		return
	case t.endpoint.slack:
		return
	case o.given == 0:
		c.fail(n, path, "what are its events signed with? Name a file that holds the secret in secretFile, or an environment variable in secretEnv")
		return
	case o.given > 1:
		c.fail(o.at, o.path, "one of secretFile and secretEnv has the secret: remove the other")
		return
	}
	text, ok := c.resolve(o)
	if !ok {
		return
	}
	var err error
	if t.endpoint.secrets, err = parseSecrets(text); err != nil {
		c.fail(o.at, o.path, "%v", err)
	}
}

// resolve reads the value, which is not shown.
func (c *config) resolve(o *origin) (string, bool) {
	text := o.value
	switch {
	case o.file != "":
		name := o.file
		if !filepath.IsAbs(name) {
			name = filepath.Join(c.dir, name)
		}
		data, err := readBounded(name, maxSecret)
		if err != nil {
			c.fail(o.at, o.path, "%v", err)
			return "", false
		}
		text = string(data)
	case o.env != "":
		var set bool
		if text, set = c.lookup(o.env); !set {
			c.fail(o.at, o.path, "the environment variable %q is not set", o.env)
			return "", false
		}
	case text == "":
		return "", false // reported where it was read
	}
	if text = strings.TrimSpace(text); text == "" {
		c.fail(o.at, o.path, "leads to nothing: what is there is empty")
		return "", false
	}
	return text, true
}

func readBounded(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory: expected a file", name)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s is larger than %d bytes: is it the right file?", name, limit)
	}
	data, err := os.ReadFile(name)
	if err == nil && int64(len(data)) > limit {
		err = errors.New(name + " grew while it was read")
	}
	return data, err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func joinKinds() string {
	names := make([]string, 0, len(notify.Kinds()))
	for _, k := range notify.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

package webhook_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/notify/webhook"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// env is what the files of the tests refer to.
var env = map[string]string{
	"SLACK":    "https://hooks.slack.com/services/T0SECRET/B0SECRET/XSECRETX\n",
	"SECRET":   secretText,
	"ROTATED":  secretText + "\nwhsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
	"EMPTY":    " \n",
	"BADURL":   "https://hooks.slack.com/services/%zz/XSECRETX",
	"NOURL":    "XSECRETX",
	"USER":     "https://me:XSECRETX@example.com/",
	"PLAIN":    "http://example.com/XSECRETX",
	"FTP":      "ftp://example.com/XSECRETX",
	"SHORT":    "whsec_U2hvcnRTRUNSRVQ=",
	"NOPREFIX": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	"FIVE":     strings.Repeat(secretText+" ", 5),
}

// TestBadFiles: what is wrong is said with its place, all at once, and without a secret.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			targets, err := webhook.Parse(file, string(data), env)
			var all webhook.Errors
			if !errors.As(err, &all) || targets != nil {
				t.Fatalf("%v: %v", targets, err)
			}
			if strings.Contains(err.Error(), "SECRETX") || strings.Contains(err.Error(), "MfKQ9") || strings.Contains(err.Error(), "U2hvcnR") {
				t.Errorf("a secret is in it:\n%v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("slack-url", env["SLACK"])
	write("secret", env["ROTATED"])
	write("targets.yaml", `
apiVersion: tidegate/v1
targets:
  - name: payments
    kind: slack
    urlFile: slack-url
    environments: [production, staging]
    events: [rolled_back, tripped]
  - {name: bot, kind: webhook, url: "https://bot.example.com/hook", secretFile: secret}
  - {name: near, kind: webhook, url: "http://127.0.0.1:8080/hook", secretFile: secret}
  - {name: plain, kind: webhook, url: "http://bot.internal/hook", secretFile: secret, insecureHTTP: true}
dashboard: https://flags.example.com/ui/
`)
	targets, err := webhook.Load(filepath.Join(dir, "targets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(targets) != 4 || targets[0].Name != "payments" ||
		!slices.Equal(targets[0].Environments, []string{"production", "staging"}) ||
		!slices.Equal(targets[0].Kinds, []notify.Kind{notify.RolledBack, notify.Tripped}) || targets[1].Kinds != nil {
		t.Errorf("targets: %+v", targets)
	}

	write("huge", strings.Repeat("x", 17<<10))
	for name, data := range map[string]string{
		"no such file":       `{name: a, kind: slack, urlFile: missing}`,
		"is a directory":     `{name: a, kind: slack, urlFile: .}`,
		"larger than 16384":  `{name: a, kind: slack, urlFile: huge}`,
		"'whsec_' and 24 to": `{name: a, kind: webhook, url: "https://x.example/", secretFile: huge2}`,
	} {
		write("huge2", strings.Repeat("x", 15<<10))
		write("bad.yaml", "apiVersion: tidegate/v1\ntargets:\n  - "+data+"\n")
		_, err := webhook.Load(filepath.Join(dir, "bad.yaml"))
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "bad.yaml:3:") || !strings.Contains(err.Error(), "targets[0].") {
			t.Errorf("%s: %v", data, err)
		}
	}
	if _, err := webhook.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzParse: any file is read or refused with a place, and never shows a secret.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, data string) {
		if strings.Contains(data, "File") { // this machine's are none of its business
			t.Skip()
		}
		targets, err := webhook.Parse("f.yaml", data, env)
		var all webhook.Errors
		switch {
		case err == nil:
			for _, target := range targets {
				if err := target.Check(); err != nil {
					t.Error(err)
				}
			}
		case !errors.As(err, &all) || len(all) == 0:
			t.Errorf("error: %v", err)
		default:
			for _, e := range all {
				if e.Line < 1 || e.Column < 1 || e.Problem == "" {
					t.Errorf("%+v", e)
				}
			}
			if !strings.Contains(data, "SECRETX") && strings.Contains(err.Error(), "SECRETX") {
				t.Errorf("a secret: %v", err)
			}
		}
	})
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (-rewrite if that is right):\n got %s\nwant %s", path, got, want)
	}
}

package attacks

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	_ "go.opentelemetry.io/proto/otlp/collector/metrics/v1" // methods are found among what is linked
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/types/known/timestamppb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/roletable"
)

// cell is one of docs/permissions.md: what comes of a method for who calls it.
type cell struct{ at, method, role, says string }

// cells reads the page's tables of methods.
func cells(t *testing.T) (all []cell) {
	t.Helper()
	data, err := os.ReadFile("../../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	at, roles := "", []string(nil)
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		parts := strings.Split(strings.Trim(line, "|"), "|")
		for i := range parts {
			parts[i] = strings.Trim(parts[i], " `")
		}
		switch {
		case strings.HasPrefix(line, "## "):
			at = map[string]string{"## Methods of a control server": "server", "## Methods of a relay": "relay"}[line]
		case at == "" || !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---"):
		case parts[0] == "method":
			roles = parts[1:]
		default:
			for i, says := range parts[1:] {
				all = append(all, cell{at, "/" + parts[0], roles[i], says})
			}
		}
	}
	if len(all) < 500 {
		t.Fatalf("the page has %d cells", len(all))
	}
	return all
}

// noSecret calls all that is there without anything.
func noSecret(t *testing.T, w *world) {
	public := 0
	for _, c := range cells(t) {
		switch {
		case c.role != "nobody":
			continue
		case c.says == roletable.Yes:
			public++
			continue
		}
		_, code := roletable.Call(presenting(t), t, w.conns[c.at], c.method, roletable.Request(t, c.method, map[string]string{"flag_key": "shown"}))
		if c.method == "/tidegate.evaluation.v1.EvaluationService/EvaluateStream" {
			continue // which tells it in its answer: revokedMidstream looks
		}
		if code != codes.Unauthenticated && code != codes.Unavailable && code != codes.InvalidArgument {
			t.Errorf("%s at the %s: %v", c.method, c.at, code)
		}
	}
	if public == 0 || public > 20 {
		t.Errorf("%d methods are public", public)
	}
	for _, path := range []string{"/ofrep/v1/evaluate/flags/shown", "/ofrep/v1/evaluate/flags", "/tidegate.evaluation.v1.EvaluationService/EvaluateAll"} {
		if code, _ := w.http(t, http.MethodPost, w.relay.HTTP, path, "{}"); code != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _ := w.http(t, http.MethodGet, w.relay.HTTP, "/ofrep/v1/sse", ""); code != http.StatusUnauthorized {
		t.Errorf("events: %d", code)
	}
}

func wrongSecret(t *testing.T, w *world) {
	for kind, good := range map[string]string{"identity": w.secrets["viewer"], "key": w.secrets["sdk-server"]} {
		other, _ := accesskey.NewFor(good[4:16])
		unknown, _ := accesskey.New()
		w.secrets["forged "+kind], w.secrets["unknown "+kind] = other, unknown
		for name, header := range map[string]string{
			"another of this id": "Bearer " + other,
			"an unknown id":      "Bearer " + unknown,
			"cut off":            "Bearer " + good[:len(good)-1],
			"longer":             "Bearer " + good + "A",
			"its last letter":    "Bearer " + good[:len(good)-1] + flipped(good[len(good)-1]),
			"upper case":         "Bearer " + strings.ToUpper(good),
			"no random":          "Bearer " + good[:17],
			"basic":              "Basic " + good,
			"no scheme":          good,
			"empty":              "",
			"padded":             "Bearer " + good + "=",
			"a space before":     "Bearer  " + good,
		} {
			for door, ask := range map[string]func() codes.Code{
				"server": func() codes.Code { return w.list(presenting(t, header)) },
				"relay":  func() codes.Code { return w.evaluate(presenting(t, header)) },
			} {
				if code := ask(); code != codes.Unauthenticated && code != codes.PermissionDenied {
					t.Errorf("%s, %s, at the %s: %v", kind, name, door, code)
				}
			}
			for addr, path := range map[string]string{w.server.HTTP: listFlags, w.relay.HTTP: "/ofrep/v1/evaluate/flags/shown"} {
				if code, _ := w.http(t, http.MethodPost, addr, path, "{}", "Authorization", header); code != http.StatusUnauthorized && code != http.StatusForbidden {
					t.Errorf("%s, %s, over HTTP, %s: %d", kind, name, path, code)
				}
			}
		}
	}
	if code := w.list(w.as(t, "viewer")); code != codes.OK {
		t.Fatalf("the good one: %v", code)
	}
}

// flipped is another letter of base64url, one that ends 32 bytes.
func flipped(c byte) string {
	if c == 'A' {
		return "E"
	}
	return "A"
}

func twoSecrets(t *testing.T, w *world) {
	good, bad := "Bearer "+w.secrets["administrator"], "Bearer "+w.secrets["viewer"]
	for _, values := range [][]string{{good, bad}, {bad, good}, {good, good}, {good, ""}} {
		if code := w.list(presenting(t, values...)); code != codes.Unauthenticated {
			t.Errorf("two: %v", code)
		}
		if code, _ := w.http(t, http.MethodPost, w.server.HTTP, listFlags, "{}", "Authorization", values[0], "authorization", values[1]); code != http.StatusUnauthorized {
			t.Errorf("two over HTTP: %d", code)
		}
	}
	for _, joined := range []string{good + ", " + bad, good + "," + good, good + "\t" + bad} {
		if code, _ := w.http(t, http.MethodPost, w.server.HTTP, listFlags, "{}", "Authorization", joined); code != http.StatusUnauthorized {
			t.Errorf("joined: %d", code)
		}
	}
	key := "Bearer " + w.secrets["sdk-server"]
	if code := w.evaluate(presenting(t, key, key)); code != codes.Unauthenticated {
		t.Errorf("two at the relay: %v", code)
	}
	if code, _ := w.http(t, http.MethodPost, w.relay.HTTP, "/ofrep/v1/evaluate/flags/shown", "{}", "Authorization", key, "Authorization", key); code != http.StatusUnauthorized {
		t.Errorf("two with OFREP: %d", code)
	}
}

func expired(t *testing.T, w *world) {
	at := time.Now().Add(3 * time.Second)
	w.service(t, "short", timestamppb.New(at), &accessv1.Grant{Role: accessv1.Role_ROLE_VIEWER})
	w.key(t, "short key", accessv1.Role_ROLE_SDK_SERVER, production, timestamppb.New(at))
	for name, ask := range map[string]func() codes.Code{
		"identity": func() codes.Code { return w.list(w.as(t, "short")) },
		"key":      func() codes.Code { return w.evaluate(w.as(t, "short key")) },
	} {
		bed.Eventually(t, name+" has expired", func() error {
			began := time.Now()
			code := ask()
			switch {
			case code == codes.OK && began.After(at):
				t.Errorf("%s: good after its time", name)
			case code != codes.OK && began.After(at):
				return nil
			}
			return errWait
		})
	}
}

func otherKind(t *testing.T, w *world) {
	for _, name := range []string{"relay", "sdk-server", "sdk-client"} {
		if code := w.list(w.as(t, name)); code != codes.Unauthenticated {
			t.Errorf("a key of %s lists flags at the server: %v", name, code)
		}
	}
	for _, name := range []string{"viewer", "administrator"} {
		if code := w.evaluate(w.as(t, name)); code != codes.PermissionDenied {
			t.Errorf("an identity, %s, evaluates at the relay: %v", name, code)
		}
		if _, err := follow(w.as(t, name), w.conns["server"]).next(); w.heard(err) != codes.PermissionDenied {
			t.Errorf("an identity, %s, follows: %v", name, err)
		}
	}
}

func claimedNames(t *testing.T, w *world) {
	ctx := metadata.AppendToOutgoingContext(w.as(t, "editor"), "tidegate-actor", "administrator", "tidegate-server", "server-1", "tidegate-forwarded-by", "server-1")
	made, err := controlv1.NewFlagServiceClient(w.conns["server"]).CreateFlag(ctx, &controlv1.CreateFlagRequest{
		Environment: "dev", Flag: ruled("claimed", false), Reason: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	if actor := made.GetEntry().GetActor(); actor != "editor" {
		t.Errorf("the trail says that it was %q", actor)
	}
	stranger := metadata.AppendToOutgoingContext(presenting(t), "tidegate-actor", "administrator", "tidegate-server", "server-1", "tidegate-forwarded-by", "server-1")
	if code := w.list(stranger); code != codes.Unauthenticated {
		t.Errorf("a name alone: %v", code)
	}
	forged := metadata.AppendToOutgoingContext(w.as(t, "editor of dev"), "tidegate-server", "server-1")
	_, err = controlv1.NewFleetServiceClient(w.conns["server"]).ListRelays(forged, &controlv1.ListRelaysRequest{})
	if code := w.heard(err); code != codes.PermissionDenied {
		t.Errorf("an identity that says it is a server: %v", err)
	}
}

func wrongEnvironment(t *testing.T, w *world) {
	flags := controlv1.NewFlagServiceClient(w.conns["server"])
	for _, environment := range []string{production, "staging", "", "DEV", "dev/", "../production", "dev\x00"} {
		_, err := flags.CreateFlag(w.as(t, "editor of dev"), &controlv1.CreateFlagRequest{Environment: environment, Flag: ruled("elsewhere", false), Reason: "test"})
		if code := w.heard(err); code != codes.PermissionDenied {
			t.Errorf("the editor of dev writes in %q: %v", environment, err)
		}
	}
	_, err := flags.PromoteFlag(w.as(t, "editor of dev"), &controlv1.PromoteFlagRequest{FromEnvironment: production, ToEnvironment: "dev", FlagKey: canaryFlag, Reason: "test"})
	if code := w.heard(err); code != codes.PermissionDenied {
		t.Errorf("and takes a flag from production: %v", err)
	}
	if code := w.evaluate(w.as(t, "relay of staging")); code != codes.PermissionDenied {
		t.Errorf("a key of staging evaluates in production: %v", code)
	}
	_, err = evaluationv1.NewEvaluationServiceClient(w.conns["relay"]).Evaluate(w.as(t, "sdk-server"), &evaluationv1.EvaluateRequest{Environment: "staging", FlagKey: "shown"})
	if code := w.heard(err); code != codes.NotFound {
		t.Errorf("a key of production in what the relay does not follow: %v", err)
	}
	if _, err := follow(w.as(t, "relay of staging"), w.conns["server"]).next(); w.heard(err) != codes.PermissionDenied {
		t.Errorf("a key of staging follows production: %v", err)
	}
}

// everyCell calls each method as each role that may not.
func everyCell(t *testing.T, w *world) {
	tried := 0
	for _, c := range cells(t) {
		secret, there := w.secrets[c.role]
		if !there || c.says == roletable.Yes || c.at == "relay" && !slices.Contains([]string{"relay", "sdk-server", "sdk-client"}, c.role) {
			continue
		}
		if strings.HasSuffix(c.method, "/Stream") || strings.HasSuffix(c.method, "/Push") || strings.HasSuffix(c.method, "/Report") {
			continue // what they are asked matters: see clientRules, and TestRoles of the packages
		}
		tried++
		_, code := roletable.Call(presenting(t, "Bearer "+secret), t, w.conns[c.at], c.method, roletable.Request(t, c.method, nil))
		if got := roletable.Cell(code); got != c.says {
			t.Errorf("%s as %s at the %s: %q, the page says %q", c.method, c.role, c.at, got, c.says)
		}
	}
	t.Logf("%d calls", tried)
	if tried < 300 {
		t.Errorf("%d cells were tried", tried)
	}
}

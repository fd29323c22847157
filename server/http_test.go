package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestHTTP(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	s.create("checkout")

	t.Run("health", func(t *testing.T) {
		if code, body := s.get("/healthz"); code != http.StatusOK || body != "ok\n" {
			t.Errorf("got %d %q", code, body)
		}
	})
	t.Run("readiness", func(t *testing.T) {
		code, body := s.get("/readyz")
		if code != http.StatusOK {
			t.Errorf("got %d %q", code, body)
		}
		var names []string
		for _, e := range decode(t, body)["environments"].([]any) {
			e := e.(map[string]any)
			names = append(names, e["environment"].(string))
			if e["ready"] != true || e["revision"].(float64) <= 0 {
				t.Errorf("got %v", e)
			}
		}
		slices.Sort(names)
		if want := []string{"dev", "production", "staging"}; !slices.Equal(names, want) {
			t.Errorf("environments: got %q, want %q", names, want)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		eventually(t, "the flag is counted", func() bool {
			code, body := s.get("/metrics")
			if code != http.StatusOK {
				t.Fatalf("got %d %s", code, body)
			}
			return strings.Contains(body, `tidegate_server_environment_flags{environment="production"} 1`) &&
				strings.Contains(body, `grpc_server_handled_total{grpc_code="OK",grpc_method="CreateFlag"`) &&
				strings.Contains(body, "go_goroutines")
		})
	})
	t.Run("home", func(t *testing.T) {
		code, body := s.get("/")
		if code != http.StatusOK || !strings.Contains(body, s.server.GRPCAddr()) {
			t.Errorf("got %d %q", code, body)
		}
		if code, _ := s.get("/nothing-here"); code != http.StatusNotFound {
			t.Errorf("unknown path: got %d, want 404", code)
		}
		if code, _ := s.post("/tidegate.sync.v1.SyncService/Stream", `{}`); code != http.StatusNotFound {
			t.Errorf("the sync service over HTTP: got %d, want 404", code)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		code, body := s.post("/tidegate.control.v1.FlagService/SetEnabled",
			`{"environment":"production","flagKey":"checkout","enabled":false,"reason":"test"}`, "Tidegate-Actor", "ada")
		if code != http.StatusOK || !strings.Contains(body, `"ACTION_DISABLED"`) || !strings.Contains(body, `"ada"`) {
			t.Errorf("got %d %s", code, body)
		}
		code, body = s.post("/tidegate.control.v1.FlagService/GetFlag", `{"environment":"production","flagKey":"missing"}`)
		if code != http.StatusNotFound || decode(t, body)["code"] != "not_found" {
			t.Errorf("unknown flag: got %d %s", code, body)
		}
		code, body = s.post("/tidegate.control.v1.FlagService/GetFlag", `{"environment":"production","flag":"checkout"}`)
		if code != http.StatusBadRequest || !strings.Contains(body, `unknown field \"flag\"`) {
			t.Errorf("unknown field: got %d %s", code, body)
		}
		code, body = s.post("/tidegate.control.v1.FlagService/GetFlag", `{"environment`)
		if code != http.StatusBadRequest || decode(t, body)["code"] != "invalid_argument" {
			t.Errorf("malformed: got %d %s", code, body)
		}
	})
	t.Run("cross-origin", func(t *testing.T) {
		code, body := s.post("/tidegate.control.v1.FlagService/SetEnabled",
			`{"environment":"production","flagKey":"checkout","enabled":true,"reason":"test"}`, "Sec-Fetch-Site", "cross-site")
		if code != http.StatusForbidden {
			t.Errorf("got %d %s, want 403", code, body)
		}
	})
	t.Run("too large", func(t *testing.T) {
		code, body := s.post("/tidegate.control.v1.FlagService/GetFlag", `{"environment":"`+strings.Repeat("x", maxMessage)+`"}`)
		if code != http.StatusTooManyRequests || decode(t, body)["code"] != "resource_exhausted" {
			t.Errorf("got %d %s", code, body[:min(200, len(body))])
		}
	})
}

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/version"
)

// readyAge is how long ago the store may have confirmed the environments for the server
// to be ready: three heartbeats.
const readyAge = 15 * time.Second

func (s *Server) httpHandler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, r.guarded())
	}
	if s.options.Open && isLoopback(s.httpListener) {
		return withHeaders(withLocalHosts(mux))
	}
	return withHeaders(mux)
}

// readiness is the body of /readyz.
type readiness struct {
	Ready      bool   `json:"ready"`
	InstanceID string `json:"instanceId"`
	Version    string `json:"version"`
	Draining   bool   `json:"draining,omitempty"`
	// Problems are what people have to look at, and what to do; the server may be ready all
	// the same.
	Problems     []string               `json:"problems,omitempty"`
	Environments []environmentReadiness `json:"environments"`
}

type environmentReadiness struct {
	Environment string `json:"environment"`
	Ready       bool   `json:"ready"`
	// Reason says why it is not ready.
	Reason     string  `json:"reason,omitempty"`
	Revision   int64   `json:"revision"`
	AgeSeconds float64 `json:"ageSeconds"`
	Flags      int     `json:"flags"`
}

// readiness tells whether the server should get calls: every environment was confirmed
// by the store a short time ago, and the server is not about to end.
func (s *Server) readiness() readiness {
	out := readiness{
		Ready: true, InstanceID: s.options.InstanceID, Version: version.Version,
		Environments: []environmentReadiness{},
	}
	if s.draining.Load() {
		out.Ready, out.Draining = false, true
	}
	err := s.authority.Err()
	out.Problems = s.problems(err)
	for _, name := range s.replicas.Environments() {
		r := s.replicas.Replica(name)
		e := environmentReadiness{Environment: name, Ready: true}
		if snap := r.Snapshot(); snap == nil {
			e.Ready, e.Reason = false, "not loaded yet"
		} else {
			age := r.Age()
			e.Revision, e.AgeSeconds, e.Flags = snap.Cursor().Revision, age.Seconds(), snap.Eval().FlagCount()
			switch {
			case age <= readyAge:
			case errors.Is(err, controlplane.ErrDataLoss):
				e.Ready, e.Reason = false, "not what the store holds, for "+age.Round(time.Second).String()+": see problems"
			default:
				e.Ready, e.Reason = false, "the store has not answered for "+age.Round(time.Second).String()
			}
		}
		out.Ready = out.Ready && e.Ready
		out.Environments = append(out.Environments, e)
	}
	return out
}

// problems says what is wrong with the store. A store that is behind the server's followers,
// or another one than theirs, makes no server unready: to take all of them away would take away the way to mend it.
func (s *Server) problems(following error) []string {
	var problems []string
	if following != nil {
		problems = append(problems, following.Error())
	}
	if revision, behind := s.hub.StoreBehind(); behind {
		problems = append(problems, fmt.Sprintf(
			"the store is behind its followers, which have revision %d of the same epoch and keep it: it lost data, or was restored from a backup; once it holds what shall be served, begin a new epoch: tidegate epoch begin --reason \"...\"", revision))
	}
	if strangers := s.hub.Strangers(); len(strangers) > 0 {
		problems = append(problems, fmt.Sprintf("followers have the state of another store than this one, and keep it (%s); nobody began the epoch of this one. %s",
			hub.NameStrangers(strangers), hub.MendStrangers))
	}
	return problems
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	body := s.readiness()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !body.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // a prober that is gone needs no answer
}

const home = `tidegate control server

The dashboard is not part of this build: 'make build' with Node.js makes one that has it.

gRPC        %s  (reflection and health; try: grpcurl -plaintext %s list)
JSON        POST /tidegate.control.v1.FlagService/ListFlags  {"environment":"production"}
            (every service and method at /SERVICE/METHOD)
health      /healthz
readiness   /readyz
metrics     /metrics
`

// home is the dashboard, or what there is to know without it.
func (s *Server) home() http.Handler {
	if s.webApp != nil {
		return s.webApp
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.NotFound(w, r)
			return
		}
		writeText(w, fmt.Sprintf(home, s.GRPCAddr(), s.GRPCAddr()))
	})
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(text)) // the caller went away
}

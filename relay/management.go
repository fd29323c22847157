package relay

import (
	"encoding/json"
	"net/http"
	"time"
)

// readiness is the body of /readyz.
type readiness struct {
	Ready      bool            `json:"ready"`
	InstanceID string          `json:"instanceId"`
	Version    string          `json:"version"`
	Draining   bool            `json:"draining,omitempty"`
	Upstream   *upstreamStatus `json:"upstream,omitempty"`
	File       *fileStatus     `json:"file,omitempty"`
	// Telemetry says how much was counted that the upstream has not taken yet.
	Telemetry    *telemetryStatus       `json:"telemetry,omitempty"`
	Environments []environmentReadiness `json:"environments"`
}

type upstreamStatus struct {
	Connected bool   `json:"connected"`
	Address   string `json:"address,omitempty"`
	// Error is the last failure; it may be over.
	Error string `json:"error,omitempty"`
}

// fileStatus is there in the place of upstreamStatus where files are served.
type fileStatus struct {
	Paths []string `json:"paths"`
	Files int      `json:"files"`
	// Problems say why the files, as they are now, are not served; none if they are.
	Problems []string `json:"problems,omitempty"`
}

type telemetryStatus struct {
	Connected bool   `json:"connected"`
	Spooled   uint64 `json:"spooledEvents"`
	// Error is why telemetry cannot be written to disk, or was not taken lately.
	Error string `json:"error,omitempty"`
}

type environmentReadiness struct {
	Environment string `json:"environment"`
	Ready       bool   `json:"ready"`
	// Reason says why it is not ready.
	Reason string `json:"reason,omitempty"`
	// Revision, AgeSeconds and Flags are of the snapshot; absent without one.
	Revision   int64    `json:"revision,omitempty"`
	AgeSeconds *float64 `json:"ageSeconds,omitempty"`
	Flags      int      `json:"flags"`
	// Tripped are the rollouts that this relay, cut off, has shut by itself: it serves their
	// controls.
	Tripped []trippedRollout `json:"tripped,omitempty"`
}

// trippedRollout is one that the relay has shut.
type trippedRollout struct {
	Rollout   string    `json:"rollout"`
	Step      uint64    `json:"step"`
	Guardrail string    `json:"guardrail"`
	At        time.Time `json:"at"`
}

// readiness tells whether every environment has something to serve that is fresh
// enough. A relay that lost its upstream, or whose files were broken, is ready as long as
// it is.
func (r *Relay) readiness() readiness {
	out := readiness{Ready: true, InstanceID: r.instanceID, Version: r.version}
	r.origin.report(&out)
	out.Telemetry = r.telemetry.status()
	select {
	case <-r.evaluation.draining:
		out.Ready, out.Draining = false, true
	default:
	}
	for _, e := range r.evaluation.environments {
		er := environmentReadiness{Environment: e.name, Ready: true}
		if s := e.replica.Snapshot(); s == nil && e.replica.Purged() {
			er.Ready, er.Reason = false, whyRevoked
		} else if s == nil {
			er.Ready, er.Reason = false, "nothing came from upstream yet, and nothing was on disk"
		} else {
			age := e.replica.Age()
			seconds := age.Seconds()
			er.Revision, er.AgeSeconds, er.Flags = s.Cursor().Revision, &seconds, s.Eval().FlagCount()
			if r.maxStale > 0 && age > r.maxStale {
				er.Ready, er.Reason = false, "stale: last confirmed "+age.Round(time.Millisecond).String()+" ago, the limit is "+r.maxStale.String()
			}
		}
		for _, t := range r.telemetry.byName[e.name].edge.tripped() {
			er.Tripped = append(er.Tripped, trippedRollout{t.GetRollout(), t.GetStep(), t.GetGuardrail(), t.GetTime().AsTime()})
		}
		out.Ready = out.Ready && er.Ready
		out.Environments = append(out.Environments, er)
	}
	return out
}

func (r *Relay) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // a prober that is gone needs no answer
}

func (r *Relay) serveReady(w http.ResponseWriter, _ *http.Request) {
	body := r.readiness()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !body.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // as above
}

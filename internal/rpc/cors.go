package rpc

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// anyOrigin allows pages of every origin.
const anyOrigin = "*"

// ValidateOrigin says what is wrong with an allowed origin, if something is.
func ValidateOrigin(origin string) error {
	if origin == anyOrigin {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin ||
		strings.Contains(u.Host, anyOrigin) || defaultPorts[u.Scheme] != "" && u.Port() == defaultPorts[u.Scheme] {
		return fmt.Errorf("origin %q: want scheme://host or scheme://host:port as browsers send it (lower case, no path, no default port), such as https://shop.example; or * for any", origin)
	}
	return nil
}

// defaultPorts are what browsers leave out.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// crossOrigin guards a handler: browsers' requests that could change something come from
// the handler's own origin or from an allowed one. Pages of allowed origins may read the
// answers; credentials such as cookies are not sent, for nothing here uses them.
func crossOrigin(h http.Handler, origins []string) http.Handler {
	guarded := http.NewCrossOriginProtection().Handler(h)
	if len(origins) == 0 {
		return guarded
	}
	all := slices.Contains(origins, anyOrigin)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		if !all {
			header.Add("Vary", "Origin")
		}
		origin := r.Header.Get("Origin")
		switch {
		case origin == "" || !all && !slices.Contains(origins, origin):
			guarded.ServeHTTP(w, r)
			return
		case all:
			header.Set("Access-Control-Allow-Origin", anyOrigin)
		default:
			header.Set("Access-Control-Allow-Origin", origin)
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			preflight(w, r)
			return
		}
		header.Set("Access-Control-Expose-Headers", exposedHeaders)
		h.ServeHTTP(w, r)
	})
}

// exposedHeaders are what pages may read beside the body: OFREP's, and those in which
// gRPC-Web tells how a call ended.
const exposedHeaders = "ETag, Retry-After, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"

// preflight answers a browser that asks whether it may send a request. Any header may be
// sent: what matters is who sends it.
func preflight(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Add("Vary", "Access-Control-Request-Headers")
	header.Set("Access-Control-Allow-Methods", "GET, POST")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		header.Set("Access-Control-Allow-Headers", asked)
	}
	header.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

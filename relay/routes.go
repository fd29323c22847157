package relay

import (
	"context"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ofrepRoute is one path of OFREP, and who may ask for it. One that ends in a slash is followed by
// a flag's key.
type ofrepRoute struct {
	method, path string
	admits       permission
	serve        func(*ofrepHandler, context.Context, *ofrepCall)
}

// ofrepRoutes is the table of all that OFREP's handler serves. Its services look at keys
// themselves, as those over gRPC do.
var ofrepRoutes = []ofrepRoute{
	{http.MethodPost, ofrepFlagsPath + "/", evaluates, (*ofrepHandler).single},
	{http.MethodPost, ofrepFlagsPath, evaluates, (*ofrepHandler).bulk},
	{http.MethodGet, ofrepSSEPath, evaluates, (*ofrepHandler).events},
}

// ofrepRouteOf finds what a path leads to, and the flag's key in it; nil: there is nothing.
func ofrepRouteOf(path string) (route *ofrepRoute, key string) {
	if path == ofrepFlagsPath+"/" {
		path = ofrepFlagsPath // of all flags, as some providers write it
	}
	for i := range ofrepRoutes {
		r := &ofrepRoutes[i]
		if path == r.path {
			return r, ""
		}
		if key, ok := strings.CutPrefix(path, r.path); ok && strings.HasSuffix(r.path, "/") {
			return r, key
		}
	}
	return nil, ""
}

// httpHandler serves OFREP, and the services with JSON, by the table of their permissions.
func (r *Relay) httpHandler() http.Handler {
	services := r.server.HTTPHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, ofrepPath) {
			r.ofrep.ServeHTTP(w, q)
			return
		}
		services.ServeHTTP(w, q)
	})
}

// managementRoute is one pattern of the management address, and who may ask for it.
type managementRoute struct {
	pattern string
	admits  permission
	handler http.Handler
}

// managementRoutes is the table of all that the management address serves.
func (r *Relay) managementRoutes() []managementRoute {
	return []managementRoute{
		{"GET /healthz", anybody, http.HandlerFunc(r.serveHealth)},
		{"GET /readyz", anybody, http.HandlerFunc(r.serveReady)},
		{"GET /metrics", anybody, promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{Registry: r.registry})},
	}
}

// managementHandler serves probes and metrics: nothing there asks for a key.
func (r *Relay) managementHandler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range r.managementRoutes() {
		if route.admits == anybody {
			mux.Handle(route.pattern, route.handler)
		}
	}
	return mux
}

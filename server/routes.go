package server

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidegate/tidegate/server/openid"
)

// admits says who may ask for a route of the HTTP address.
type admits uint8

const (
	_ admits = iota // nobody, which is what a route has that says nothing
	// anybody may, also who presents nothing.
	anybody
	// perMethod: it leads to services, where the table of permissions says who may call what, as
	// over gRPC.
	perMethod
)

// route is one pattern of the HTTP address, and who may ask for it.
type route struct {
	pattern string
	admits  admits
	handler http.Handler
}

// routes is the one table of what the HTTP address serves: all that it serves is made of it.
func (s *Server) routes() []route {
	pages := authPages{
		logins: s.logins, methods: s.loginMethods(), timeout: authTimeout,
		openID: openIDPages{logins: s.logins, authority: s.authority, provider: s.openID},
	}
	services, names := withCookie(s.rpc.HTTPHandler()), slices.Sorted(maps.Keys(s.rpc.GRPC.GetServiceInfo()))
	all := make([]route, 0, len(names))
	for _, name := range names {
		all = append(all, route{"/" + name + "/", perMethod, services})
	}
	all = append(all,
		route{"GET /healthz", anybody, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeText(w, "ok\n") })},
		route{"GET /readyz", anybody, http.HandlerFunc(s.serveReady)},
		route{"GET /metrics", anybody, promhttp.HandlerFor(s.options.Registry, promhttp.HandlerOpts{Registry: s.options.Registry})},
		route{"GET /auth/methods", anybody, pages.page(pages.serveMethods)},
		route{"POST /auth/login", anybody, pages.page(pages.serveLogin)},
		route{"POST /auth/logout", anybody, pages.page(pages.serveLogout)}, // which ends the session of its own cookie
		route{"GET " + openIDLogin, anybody, pages.page(pages.openID.serveLogin)},
		route{"GET " + openid.CallbackPath, anybody, pages.page(pages.openID.serveCallback)},
	)
	return append(all, route{"/", anybody, elsewhere(all, s.home())}) // which has no data: that is behind the services
}

// elsewhere is what serves all that no route is for; who asks for a route by another method is told so.
func elsewhere(routes []route, h http.Handler) http.Handler {
	methods := map[string]string{}
	for _, r := range routes {
		if method, path, ok := strings.Cut(r.pattern, " "); ok {
			methods[path] = method
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if method, is := methods[r.URL.Path]; is {
			w.Header().Set("Allow", method)
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// guarded serves a route to those whom it admits.
func (r route) guarded() http.Handler {
	if r.admits == anybody || r.admits == perMethod {
		return r.handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "this is not for anybody: it has no permission", http.StatusForbidden)
	})
}

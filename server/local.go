package server

import (
	"net"
	"net/http"
	"strings"
)

// withLocalHosts refuses requests that name another host than this machine. It is for an open
// server that only this machine reaches: a page of another site, whose name was made to lead here
// after it was loaded (DNS rebinding), is to its browser of the same origin, and nothing else would
// keep it out.
func withLocalHosts(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocalHost(r.Host) {
			http.Error(w, "this server asks nobody who they are, and so answers to localhost and to addresses alone: want one of them as the host", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// isLocalHost tells whether a Host header names no host that a name server could move: it is
// localhost, an address, or absent.
func isLocalHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil
}

// isLoopback tells whether only this machine reaches a listener.
func isLoopback(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

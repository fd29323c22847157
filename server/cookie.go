package server

import (
	"net/http"
	"net/url"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// sessionCookie holds a browser's token. The prefix of its name has the browser take it from
// this host alone, over TLS or loopback, and for no part of it.
const sessionCookie = "__Host-tidegate-session"

// setSession gives a browser a token, in a cookie that no script reads and no other site sends.
func setSession(w http.ResponseWriter, token string, began *accessv1.Session) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: token, Expires: began.GetExpiresAt().AsTime(),
		Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// forgetSession has a browser forget its token.
func forgetSession(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, MaxAge: -1, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// sessionIn returns the token that a request's cookie holds; empty: none, or more than one,
// where nobody could tell which is the browser's.
func sessionIn(r *http.Request) string {
	found := r.CookiesNamed(sessionCookie)
	if len(found) != 1 {
		return ""
	}
	if _, err := accesskey.ParseSession(found[0].Value); err != nil {
		return ""
	}
	return found[0].Value
}

// withCookie has a browser's cookie be as good as the header in which a token is presented, for
// requests that a page of this server makes: the browser says so, in headers that no script can
// set. Whatever the cookies are, what is behind sees none.
func withCookie(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := sessionIn(r)
		if len(r.Header.Values("Cookie")) > 0 {
			r = r.Clone(r.Context())
			r.Header.Del("Cookie")
		}
		switch {
		case token == "" || len(r.Header.Values(accesskey.Header)) > 0 || r.Method != http.MethodPost:
		case !sameOrigin(r):
			http.Error(w, "a session's cookie is taken from pages of this server alone", http.StatusForbidden)
			return
		default:
			r.Header.Set(accesskey.Header, "Bearer "+token)
		}
		h.ServeHTTP(w, r)
	})
}

// sameOrigin tells whether a browser says that a page of this server makes the request. One
// that says nothing is not taken at its silence.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	from, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && from.Host != "" && from.Host == r.Host
}

// withHeaders has browsers keep what they are given to this server's own pages.
func withHeaders(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if r.TLS != nil {
			header.Set("Strict-Transport-Security", "max-age=31536000")
		}
		h.ServeHTTP(w, r)
	})
}

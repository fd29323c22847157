package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// browserPatience is how long a login in a browser may take.
const browserPatience = 10 * time.Minute

// loginOpenID logs in through the provider: a browser goes there and comes back, to this process,
// with a code that is worth something to this process alone.
func (c *client) loginOpenID(ctx context.Context, asked bool) error {
	methods, err := read(ctx, c, c.sessions.ListLoginMethods, &controlv1.ListLoginMethodsRequest{})
	switch {
	case err != nil:
		return err
	case methods.GetOpenidLoginUrl() == "" && asked:
		return errNoProvider
	case methods.GetOpenidLoginUrl() == "":
		return usagef("say who you are: --name NAME")
	}
	b, err := awaitBrowser(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	verifier := rand.Text() + rand.Text()
	fmt.Fprintf(c.err, "Open this in a browser on this machine, and log in at %s:\n\n    %s\n\n", methods.GetOpenidIssuer(), b.loginURL(methods.GetOpenidLoginUrl(), verifier))
	code, err := b.code(ctx)
	if err != nil {
		return err
	}
	in, err := read(ctx, c, c.sessions.RedeemCode, &controlv1.RedeemCodeRequest{Code: code, Verifier: verifier})
	if err != nil {
		return err
	}
	return c.loggedIn(ctx, in.GetToken(), in.GetSession())
}

// browserReturn is where a browser comes back to.
type browserReturn struct {
	listener net.Listener
	server   *http.Server
	codes    chan string
}

// awaitBrowser listens on loopback.
func awaitBrowser(ctx context.Context) (*browserReturn, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the browser: %w", err)
	}
	b := &browserReturn{listener: l, codes: make(chan string, 1)}
	b.server = &http.Server{Handler: http.HandlerFunc(b.serve), ReadTimeout: 5 * time.Second}
	go func() { _ = b.server.Serve(l) }() // ends with close
	return b, nil
}

func (b *browserReturn) close() { _ = b.server.Close() }

// loginURL leads a browser to the provider, and from there back.
func (b *browserReturn) loginURL(at, verifier string) string {
	_, port, _ := net.SplitHostPort(b.listener.Addr().String()) // it has one
	sum := sha256.Sum256([]byte(verifier))
	return at + "?" + url.Values{"port": {port}, "challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}.Encode()
}

func (b *browserReturn) serve(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("code")
	if r.Method != http.MethodGet || r.URL.Path != "/" || code == "" {
		http.NotFound(w, r) // browsers ask for more than they are sent to
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Connection", "close")
	_, _ = fmt.Fprintln(w, "That is all: go back to the command line, and close this page.") // the browser went away
	select {
	case b.codes <- code:
	default: // one is enough
	}
}

func (b *browserReturn) code(ctx context.Context) (string, error) {
	patience := time.NewTimer(browserPatience)
	defer patience.Stop()
	select {
	case code := <-b.codes:
		return code, nil
	case <-patience.C:
		return "", fmt.Errorf("nobody came back from the provider within %v", browserPatience)
	case <-ctx.Done():
		return "", errInterrupted
	}
}

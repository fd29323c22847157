package webhook_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/notify/webhook"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
)

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Targets that repeat all they got, in every way that they can: nothing secret is logged or
// stored.
func TestSecretsStayHere(t *testing.T) {
	echo := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://"+r.Host+r.URL.String())
			w.WriteHeader(status)
			fmt.Fprintf(w, "%s %s", r.URL, secretText)
		}))
		t.Cleanup(server.Close)
		return server.URL + secretPath
	}
	env := map[string]string{
		"SECRET": secretText, "REFUSED": "http://127.0.0.1:1" + secretPath, "NOBODY": "http://nobody.invalid" + secretPath,
		"ECHO200": echo(200), "ECHO302": echo(302), "ECHO404": echo(404), "ECHO500": echo(500),
		"RAW": raw(t, secretPath+" "+secretText+"\r\n\r\n"),
	}
	file := "apiVersion: tidegate/v1\ntargets:\n"
	names := []string{"REFUSED", "NOBODY", "ECHO200", "ECHO302", "ECHO404", "ECHO500", "RAW"}
	for _, name := range names {
		file += fmt.Sprintf("  - {name: %s, kind: webhook, urlEnv: %s, secretEnv: SECRET, insecureHTTP: true}\n", name, name)
	}
	targets, err := webhook.Parse("t.yaml", file, env)
	if err != nil {
		t.Fatal(err)
	}
	logged := &buffer{}
	s := memstore.New()
	n, err := notify.New(notify.Options{Store: s, Targets: targets, Logger: zerolog.New(logged).Level(zerolog.TraceLevel)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Commit(t.Context(), store.Txn{Ops: append(n.Ops(rolledBack()), store.Put("leader", nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx, store.CreatedAt("leader", out.Revision)) }()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		told := 0
		for _, name := range names {
			if strings.Contains(logged.String(), name) {
				told++
			}
		}
		if told == len(names) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not all were tried: %s", logged)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	results, _, err := s.Read(t.Context(), store.Prefix("/"))
	if err != nil {
		t.Fatal(err)
	}
	var stored strings.Builder
	for _, kv := range results[0].KVs {
		stored.WriteString(kv.Key + string(kv.Value) + "\n")
	}
	shown := fmt.Sprintf("%v %+v %#v", n, targets, targets[0])
	for what, text := range map[string]string{"log": logged.String(), "store": stored.String(), "targets as text": shown} {
		for _, part := range []string{"T0000XYZ", "B1111XYZ", "hushHUSHhush", "qUIETquiet", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "services"} {
			if strings.Contains(text, part) {
				t.Errorf("%s is in the %s: %s", part, what, text)
			}
		}
	}
	if !strings.Contains(stored.String(), "n-dead/ECHO404/") {
		t.Errorf("no dead letter: %s", stored.String())
	}
}

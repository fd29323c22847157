package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// eventsOf is where the answer to all flags says that the events are.
func eventsOf(t *testing.T, v *visit) string {
	t.Helper()
	text, err := v.post(ofrepFlagsPath, ofrepCanada)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		EventStreams []struct{ Endpoint struct{ RequestURI string } }
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil || len(body.EventStreams) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	return body.EventStreams[0].Endpoint.RequestURI
}

// TestEventSource: where keys are required, what sends no headers hears events by the URL that the
// answer to all flags has, at any relay, until the key is revoked.
func TestEventSource(t *testing.T) {
	t.Parallel()
	secret, key := newKey(clientRole)
	p, r, other := shop(t, nil, key)
	uri := eventsOf(t, visitor(t, r, "Bearer "+secret))
	if strings.Contains(uri, secret[17:]) || !strings.Contains(uri, ticketParameter+"=tgt_") {
		t.Errorf("the URL is %s", uri)
	}
	if again := eventsOf(t, visitor(t, other, "Bearer "+secret)); again != uri {
		t.Errorf("another relay's is %s, not %s", again, uri)
	}
	if open := eventsOf(t, visitor(t, other)); open != eventsURI(production) {
		t.Errorf("without a key it is %s", open)
	}
	next := map[string]func() (string, error){}
	for name, at := range map[string]*Relay{"the relay": r, "another": other} {
		v := visitor(t, at)
		if text, err := askEventsAt(v, uri); err != nil || !strings.Contains(text, "refetchEvaluation") {
			t.Fatalf("%s: %s, %v", name, text, err)
		}
		next[name] = v.next
	}
	p.delete(production, syncv1.Kind_KIND_KEY, key.GetId())
	for name, wait := range next {
		var err error
		for err == nil {
			_, err = wait()
		}
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s ends with %v", name, err)
		}
	}
	if _, err := askEventsAt(visitor(t, r), uri); status.Code(err) != codes.PermissionDenied {
		t.Errorf("again: %v", err)
	}
}

// TestTicketsOpenEventsAlone: a ticket is no key, and what is not one of the environment opens
// nothing.
func TestTicketsOpenEventsAlone(t *testing.T) {
	t.Parallel()
	secret, key := newKey(clientRole)
	_, ofOther := newKey(clientRole)
	p, r, _ := shop(t, nil, key, ofOther)
	waitRevision(t, r, p.put(staging, key))
	ticket := func(hash []byte, environment string) string {
		mac := hmac.New(sha256.New, hash)
		mac.Write([]byte("events of " + environment))
		return "tgt_" + key.GetId() + "_" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	good := ticket(key.GetSecretHash(), production)
	at := func(environment, tickets string) error {
		_, err := askEventsAt(visitor(t, r), eventsURI(environment)+"&"+tickets)
		return err
	}
	if err := at(production, "ticket="+good); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"of another environment": at(production, "ticket="+ticket(key.GetSecretHash(), staging)),
		"at another environment": at(staging, "ticket="+good),
		"of no secret":           at(production, "ticket="+ticket(nil, production)),
		"of another key":         at(production, "ticket="+ticket(ofOther.GetSecretHash(), production)),
		"two":                    at(production, "ticket="+good+"&ticket="+good),
		"cut off":                at(production, "ticket="+good[:len(good)-1]),
		"the secret itself":      at(production, "ticket="+secret),
		"empty":                  at(production, "ticket="),
	} {
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), secret[17:]) {
			t.Errorf("%s: the answer quotes it", name)
		}
	}
	for _, d := range doors() {
		if _, err := d.ask(visitor(t, r, "Bearer "+good)); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s with a ticket as a key: %v", d.name, err)
		}
	}
	v := visitor(t, r)
	if _, err := v.post(ofrepFlagsPath+"?ticket="+good, ofrepCanada); status.Code(err) != codes.Unauthenticated {
		t.Errorf("all flags with a ticket: %v", err)
	}
	if _, err := v.do(v.request(http.MethodGet, eventsURI(production), "")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after all of it, nothing presented: %v", err)
	}
	empty := visitor(t, r, "")
	if _, err := empty.post(ofrepFlagsPath, ofrepCanada); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after all of it, an empty header: %v", err)
	}
}

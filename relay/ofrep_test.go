package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// ofrepAnswer is what came back.
type ofrepAnswer struct {
	status int
	header http.Header
	body   string
}

// decoded is the body as plain values; nil without one.
func (a *ofrepAnswer) decoded(t *testing.T) any {
	t.Helper()
	if a.body == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	return v
}

// ofrep asks a handler. Headers are names and values in turn.
func ofrep(t *testing.T, h http.Handler, method, path, body string, headers ...string) ofrepAnswer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return ofrepAnswer{w.Code, w.Header(), w.Body.String()}
}

// ofrepHandlerOf serves what the publisher has put.
func ofrepHandlerOf(t *testing.T, environments ...string) (*publisher, *ofrepHandler) {
	t.Helper()
	p := newPublisher(t, environments...)
	p.put(production, flagdFlags(t)...)
	return p, newOFREPHandler(service(p), 0)
}

// ofrepCase is a row of OFREP's and flagd's behaviour for one flag.
type ofrepCase struct {
	row       string
	key, body string
	status    int
	want      string
}

const notValid = "Provider context is not valid: "

func ofrepCases() []ofrepCase {
	const metadata = `,"metadata":{"flagSetId":"production"}}`
	return []ofrepCase{
		{"200: value, reason, variant, metadata", "static", `{"context":{"targetingKey":"user-1"}}`, 200, `{"key":"static","value":true,"reason":"STATIC","variant":"on"` + metadata},
		{"200: TARGETING_MATCH", "targeted", `{"context":{"targetingKey":"u","country":"Canada"}}`, 200, `{"key":"targeted","value":true,"reason":"TARGETING_MATCH","variant":"on"` + metadata},
		{"200: DEFAULT", "targeted", `{"context":{"targetingKey":"u","country":"Chile"}}`, 200, `{"key":"targeted","value":false,"reason":"DEFAULT","variant":"off"` + metadata},
		{"200: SPLIT", "split", `{"context":{"targetingKey":"user-4"}}`, 200, `{"key":"split","value":true,"reason":"SPLIT","variant":"on"` + metadata},
		{"200: DISABLED without value", "disabled", `{"context":{}}`, 200, `{"key":"disabled","reason":"DISABLED"` + metadata},
		{"200: DISABLED with an off variant", "disabled-with-off", `{"context":{}}`, 200, `{"key":"disabled-with-off","value":false,"reason":"DISABLED","variant":"off"` + metadata},
		{"200: no default: code default", "no-default", `{"context":{}}`, 200, `{"key":"no-default","reason":"DEFAULT"` + metadata},
		{"200: a string", "string", `{"context":{}}`, 200, `{"key":"string","value":"hello","reason":"STATIC","variant":"only"` + metadata},
		{"200: an integer", "int", `{"context":{}}`, 200, `{"key":"int","value":42,"reason":"STATIC","variant":"only"` + metadata},
		{"200: a double", "double", `{"context":{}}`, 200, `{"key":"double","value":-1.9,"reason":"STATIC","variant":"only"` + metadata},
		{"200: a large double", "huge", `{"context":{}}`, 200, `{"key":"huge","value":1e+300,"reason":"STATIC","variant":"only"` + metadata},
		{"200: an object", "object", `{"context":{}}`, 200, `{"key":"object","value":{"model":"m-1"},"reason":"STATIC","variant":"only"` + metadata},
		{"200: metadata of boolean, string and number", "described", `{"context":{}}`, 200, `{"key":"described","value":true,"reason":"STATIC","variant":"on","metadata":{"beta":true,"flagSetId":"production","team":"web","version":2}}`},
		{"200: a flag's flagSetId", "other-set", `{"context":{}}`, 200, `{"key":"other-set","value":true,"reason":"STATIC","variant":"on","metadata":{"flagSetId":"mine"}}`},
		{"200: an empty body", "static", ``, 200, `{"key":"static","value":true,"reason":"STATIC","variant":"on"` + metadata},
		{"200: no context", "static", `{}`, 200, `{"key":"static","value":true,"reason":"STATIC","variant":"on"` + metadata},
		{"200: null", "static", ` null `, 200, `{"key":"static","value":true,"reason":"STATIC","variant":"on"` + metadata},
		{"200: a null context", "static", `{"context":null}`, 200, `{"key":"static","value":true,"reason":"STATIC","variant":"on"` + metadata},
		{"200: no targeting key is needed", "targeted", `{"context":{"country":"Canada"}}`, 200, `{"key":"targeted","value":true,"reason":"TARGETING_MATCH","variant":"on"` + metadata},
		{"200: the last of equal names counts", "targeted", `{"context":{"country":"Chile","country":"C\u0061nada"}}`, 200, `{"key":"targeted","value":true,"reason":"TARGETING_MATCH","variant":"on"` + metadata},
		{"200: other members", "static", `{"context":{},"more":[1]}`, 200, `{"key":"static","value":true,"reason":"STATIC","variant":"on"` + metadata},
		{"400: TARGETING_KEY_MISSING", "split", `{"context":{}}`, 400, `{"key":"split","errorCode":"TARGETING_KEY_MISSING","errorDetails":"flag \"split\" splits by the targeting key, which the context lacks; set a targeting key"` + metadata},
		{"400: TARGETING_KEY_MISSING, null", "split", `{"context":{"targetingKey":null}}`, 400, `{"key":"split","errorCode":"TARGETING_KEY_MISSING","errorDetails":"flag \"split\" splits by the targeting key, which the context lacks; set a targeting key"` + metadata},
		{"200: an expression", "shorthand", `{"context":{"email":"a@example.com"}}`, 200, `{"key":"shorthand","value":true,"reason":"TARGETING_MATCH","variant":"true"` + metadata},
		{"400: PARSE_ERROR", "targeting", `{"context":{"tier":{"a":1}}}`, 400, `{"key":"targeting","errorCode":"PARSE_ERROR","errorDetails":"flag \"targeting\" (rule \"targeting\"): its expression failed for this context: the operator 'cat' met a value of a type that it does not take"` + metadata},
		{"400: else GENERAL", "targeting", `{"context":{"tier":"odd"}}`, 400, `{"key":"targeting","errorCode":"GENERAL","errorDetails":"flag \"targeting\" (rule \"targeting\"): the result of its expression is \"nobody\", which is not the name of a variant; it has \"true\", \"false\""` + metadata},
		{"400: INVALID_CONTEXT, bad JSON", "static", `{"context":`, 400, `{"key":"static","errorCode":"INVALID_CONTEXT","errorDetails":"` + notValid + `at byte 11: want a JSON value"}`},
		{"400: INVALID_CONTEXT, a list", "static", `[]`, 400, `{"key":"static","errorCode":"INVALID_CONTEXT","errorDetails":"` + notValid + `want an object, such as {\"context\":{\"targetingKey\":\"user-1\"}}"}`},
		{"400: INVALID_CONTEXT, the context", "static", `{"context":7}`, 400, `{"key":"static","errorCode":"INVALID_CONTEXT","errorDetails":"` + notValid + `want 'context' to be an object"}`},
		{"400: INVALID_CONTEXT, the targeting key", "static", `{"context":{"targetingKey":7}}`, 400, `{"key":"static","errorCode":"INVALID_CONTEXT","errorDetails":"` + notValid + `want 'targetingKey' to be a string"}`},
		{"404: FLAG_NOT_FOUND", "nobody", `{"context":{}}`, 404, "{\"key\":\"nobody\",\"errorCode\":\"FLAG_NOT_FOUND\",\"errorDetails\":\"flag `nobody` does not exist\"}"},
		{"404: a key that no flag has", "a%2Fb%22%20c", `{"context":{}}`, 404, "{\"key\":\"a/b\\\" c\",\"errorCode\":\"FLAG_NOT_FOUND\",\"errorDetails\":\"flag `a/b\\\" c` does not exist\"}"},
	}
}

func TestOFREPSingle(t *testing.T) {
	t.Parallel()
	_, h := ofrepHandlerOf(t, production)
	for _, c := range ofrepCases() {
		got := ofrep(t, h, http.MethodPost, ofrepFlagsPath+"/"+c.key, c.body, "Content-Type", "application/json; charset=utf-8")
		var want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatalf("%s: %v", c.row, err)
		}
		if got.status != c.status || !reflect.DeepEqual(got.decoded(t), want) {
			t.Errorf("%s: got\n%d %s, want\n%d %s", c.row, got.status, got.body, c.status, c.want)
		}
		if got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: content type %q", c.row, got.header.Get("Content-Type"))
		}
	}
}

// What is wrong with a request as such.
func TestOFREPRequests(t *testing.T) {
	t.Parallel()
	_, h := ofrepHandlerOf(t, production, staging)
	empty := newEnvironment("empty", newPublisher(t, "other").replicas.Add("empty"))
	h.evaluation.byName["empty"] = empty
	one, all := ofrepFlagsPath+"/static", ofrepFlagsPath
	const general = `"errorCode":"GENERAL","errorDetails":"`
	for _, c := range []struct {
		row, method, path, body string
		headers                 []string
		status                  int
		want                    string
	}{
		{"selector", "POST", one, "", []string{"Flagd-Selector", "flagSetId=staging"}, 404, "`static` does not exist"},
		{"bare selector", "POST", one, "", []string{"flagd-selector", "staging"}, 404, "`static` does not exist"},
		{"header", "POST", one, "", []string{"tidegate-environment", staging}, 404, "`static` does not exist"},
		{"header before selector", "POST", one, "", []string{"Tidegate-Environment", production, "Flagd-Selector", staging}, 200, `"value":true`},
		{"400 GENERAL: bad selector", "POST", one, "", []string{"Flagd-Selector", "x=y"}, 400, `{"key":"static",` + general + `invalid selector: unknown key \"x\"`},
		{"400 GENERAL: bad selector, bulk", "POST", all, "", []string{"Flagd-Selector", "x=y"}, 400, `{` + general + `invalid selector: `},
		{"404: unknown environment", "POST", one, "", []string{"Flagd-Selector", "dev"}, 404, `"errorCode":"FLAG_NOT_FOUND","errorDetails":"environment \"dev\" is not followed here; followed: production, staging"`},
		{"400: unknown environment, bulk", "POST", all, "", []string{"Flagd-Selector", "dev"}, 400, `{` + general + `environment \"dev\" is not followed here; followed: production, staging"`},
		{"503: nothing yet", "POST", all, "", []string{"Tidegate-Environment", "empty"}, 503, `{"errorDetails":"environment \"empty\": nothing came from upstream yet"}`},
		{"400: events of an unknown environment", "GET", ofrepSSEPath + "?environment=dev", "", nil, 400, "is not followed here"},
		{"400 INVALID_CONTEXT, bulk", "POST", all, "{", nil, 400, `{"errorCode":"INVALID_CONTEXT","errorDetails":"` + notValid},
		{"405", "GET", one, "", nil, 405, "want the method POST"},
		{"405, bulk", "PUT", all, "", nil, 405, "want the method POST"},
		{"405, events", "POST", ofrepSSEPath, "", nil, 405, "want the method GET"},
		{"404: no such path", "GET", "/ofrep/v1/configuration", "", nil, 404, "there is nothing at this path: want /ofrep/v1/evaluate/flags"},
		{"404: nearly the path", "POST", "/ofrep/v1/evaluate/flagsx", "", nil, 404, "there is nothing at this path"},
		{"415", "POST", one, "", []string{"Content-Type", "text/plain"}, 415, "want Content-Type: application/json"},
		{"any case of the type", "POST", one, "", []string{"Content-Type", "Application/JSON"}, 200, `"value":true`},
		{"413", "POST", one, `"` + strings.Repeat("x", maxOFREPBody) + `"`, nil, 413, "want at most 1000000 bytes"},
		{"bulk with a slash", "POST", all + "/", "", nil, 200, `{"flags":[`},
		{"flagConfigEtag is accepted", "POST", all + "?flagConfigEtag=abc&flagConfigLastModified=1", "", nil, 200, `{"flags":[`},
	} {
		got := ofrep(t, h, c.method, c.path, c.body, c.headers...)
		if got.status != c.status || !strings.Contains(got.body, c.want) {
			t.Errorf("%s: got %d %s, want %d with %s", c.row, got.status, got.body, c.status, c.want)
		}
		got.decoded(t)
		if got.status == 405 && got.header.Get("Allow") == "" || got.status == 503 && got.header.Get("Retry-After") == "" {
			t.Errorf("%s: headers %v", c.row, got.header)
		}
	}
	// Its length is not told beforehand.
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, one, io.MultiReader(strings.NewReader(`"`), strings.NewReader(strings.Repeat("x", maxOFREPBody))))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a long body of unknown length: %d", w.Code)
	}
}

// room is a body that notes how much of it is asked for at first.
type room struct {
	io.Reader
	first int
}

func (r *room) Read(p []byte) (int, error) {
	if r.first == 0 {
		r.first = len(p)
	}
	return r.Reader.Read(p)
}

// Memory is for what has arrived, not for what a caller says that it will send.
func TestOFREPAnnouncedBody(t *testing.T) {
	t.Parallel()
	_, h := ofrepHandlerOf(t, production)
	text := `{"context":{"pad":"` + strings.Repeat("x", 900_000) + `"}}`
	body := &room{Reader: strings.NewReader(text)}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, ofrepFlagsPath+"/static", body)
	r.ContentLength = int64(len(text))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	if body.first == 0 || body.first > 64<<10 {
		t.Errorf("%d bytes of memory before there was one of the body", body.first)
	}
}

func TestOFREPBulk(t *testing.T) {
	t.Parallel()
	p, h := ofrepHandlerOf(t, production)
	const canada = `{"context":{"country":"Canada"}}`
	got := ofrep(t, h, http.MethodPost, ofrepFlagsPath, canada)
	body, ok := got.decoded(t).(map[string]any)
	if got.status != http.StatusOK || !ok {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	flags := map[string]any{}
	for _, f := range body["flags"].([]any) {
		flags[f.(map[string]any)["key"].(string)] = f
	}
	if len(flags) != len(flagdFlags(t)) {
		t.Errorf("%d flags, want %d", len(flags), len(flagdFlags(t)))
	}
	// Each is what it is alone.
	for key, flag := range flags {
		alone := ofrep(t, h, http.MethodPost, ofrepFlagsPath+"/"+key, canada)
		if !reflect.DeepEqual(flag, alone.decoded(t)) {
			t.Errorf("%s: %v, alone %s", key, flag, alone.body)
		}
	}
	if want := map[string]any{flagSetID: production}; !reflect.DeepEqual(body["metadata"], want) {
		t.Errorf("metadata %v", body["metadata"])
	}
	streams := []any{map[string]any{"type": "sse", "endpoint": map[string]any{"requestUri": "/ofrep/v1/sse?environment=production"}}}
	if !reflect.DeepEqual(body["eventStreams"], streams) {
		t.Errorf("event streams %v", body["eventStreams"])
	}
	p.put(production, boolFlag("one-more"))
	if empty := ofrep(t, newOFREPHandler(service(newPublisher(t, production)), 0), http.MethodPost, ofrepFlagsPath, ""); !strings.HasPrefix(empty.body, `{"flags":[],`) {
		t.Errorf("no flags: %s", empty.body)
	}
}

// A large context can make each flag slow: who went away, or waited too long, is not
// worked for to the end.
func TestOFREPBulkTooLong(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	var slow []proto.Message
	for i := range 200 {
		f := boolFlag(fmt.Sprintf("slow-%d", i))
		f.Rules = []*flagv1.Rule{{Id: "r", Outcome: serve("off"), Clauses: []*flagv1.Clause{{
			Attribute: "a", Operator: flagv1.Operator_OPERATOR_MATCHES, Values: []*structpb.Value{structpb.NewStringValue("(a+)+b$")},
		}}}}
		slow = append(slow, f)
	}
	p.put(production, slow...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	body := `{"context":{"a":"` + strings.Repeat("a", 100_000) + `"}}`
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, ofrepFlagsPath, strings.NewReader(body))
	w := httptest.NewRecorder()
	newOFREPHandler(service(p), 0).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "no answer within 10s") || w.Header().Get("Etag") != "" {
		t.Errorf("got %d, headers %v, %d bytes", w.Code, w.Header(), w.Body.Len())
	}
}

// The entity tag stands for all that the answers depend on.
func TestOFREPTag(t *testing.T) {
	t.Parallel()
	p, h := ofrepHandlerOf(t, production, staging)
	const body = `{"context":{"targetingKey":"user-1","note":"a\tb"}}`
	ask := func(body string, headers ...string) ofrepAnswer {
		t.Helper()
		return ofrep(t, h, http.MethodPost, ofrepFlagsPath, body, headers...)
	}
	first := ask(body)
	tag := first.header.Get("Etag")
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		t.Fatalf("entity tag %s", tag)
	}
	for name, given := range map[string]string{"the tag": tag, "weak": "W/" + tag, "a list": `"x", ` + tag, "any": "*"} {
		got := ask(body, "If-None-Match", given)
		if got.status != http.StatusNotModified || got.body != "" || got.header.Get("Etag") != tag || got.header.Get("Content-Type") != "" {
			t.Errorf("%s: %d %s %v", name, got.status, got.body, got.header)
		}
	}
	for name, got := range map[string]ofrepAnswer{
		"another tag":         ask(body, "If-None-Match", `"x"`),
		"another context":     ask(`{"context":{"targetingKey":"user-2"}}`, "If-None-Match", tag),
		"another environment": ask(body, "If-None-Match", tag, environmentHeader, staging),
	} {
		if got.status != http.StatusOK || name != "another tag" && got.header.Get("Etag") == tag {
			t.Errorf("%s: %d, tag %s", name, got.status, got.header.Get("Etag"))
		}
	}
	p.put(staging, boolFlag("elsewhere"))
	if got := ask(body, "If-None-Match", tag); got.status != http.StatusNotModified {
		t.Errorf("after a change elsewhere: %d", got.status)
	}
	p.put(production, boolFlag("one-more"))
	got := ask(body, "If-None-Match", tag)
	if got.status != http.StatusOK || got.header.Get("Etag") == tag || got.body == first.body {
		t.Errorf("after a change: %d, tag %s", got.status, got.header.Get("Etag"))
	}
	// Where a flag reads the time, so does the tag.
	tag = ask(body).header.Get("Etag")
	p.put(production, expressionFlag(t, "timed", `{">":[{"var":"$flagd.timestamp"},0]}`))
	snap := p.replicas.Replica(production).Snapshot()
	env := h.evaluation.environments[0]
	at := func(seconds int64, region string) string {
		return env.tagOf(snap, nil, &eval.Context{Now: 1000 + seconds, Region: region}, []byte(body))
	}
	one, again := at(0, ""), at(0, "")
	if later, elsewhere := at(1, ""), at(0, "eu-west"); one != again || one == later || one == elsewhere {
		t.Errorf("tags %s and %s, a second later %s, elsewhere %s", one, again, later, elsewhere)
	}
	p.deleteFlag(production, "timed")
	if back := ask(body).header.Get("Etag"); back != tag {
		t.Errorf("the state of before has the tag %s, had %s", back, tag)
	}
	// A flag that cannot be used may be in force in an older version, which the state
	// does not name.
	broken := boolFlag("broken")
	broken.Variants = nil
	p.put(production, broken)
	if got := ask(body, "If-None-Match", tag); got.status != http.StatusOK || got.header.Get("Etag") != "" {
		t.Errorf("with a rejected flag: %d, tag %s", got.status, got.header.Get("Etag"))
	}
}

func TestOFREPCounts(t *testing.T) {
	t.Parallel()
	_, h := ofrepHandlerOf(t, production)
	ofrep(t, h, http.MethodPost, ofrepFlagsPath, "")
	for _, key := range []string{"static", "nobody", "split", "disabled"} {
		ofrep(t, h, http.MethodPost, ofrepFlagsPath+"/"+key, "")
	}
	total := h.evaluation.environments[0].answers.total()
	for reason, want := range map[eval.Reason]uint64{eval.ReasonStatic: 9, eval.ReasonError: 4, eval.ReasonDisabled: 3, eval.ReasonDefault: 2} {
		if got := total[reasonIndex(string(reason))]; got != want {
			t.Errorf("%s was counted %d times, want %d", reason, got, want)
		}
	}
}

// A context that comes as JSON means what the same means as a protobuf Struct.
func FuzzOFREP(f *testing.F) {
	for _, c := range ofrepCases() {
		f.Add(c.body)
	}
	p := newPublisher(f, production)
	p.put(production, []proto.Message{boolFlag("targeted", "Canada"), splitFlag("split")}...)
	h := newOFREPHandler(service(p), 0)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, ofrepFlagsPath, strings.NewReader(body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: %d %s", body, w.Code, w.Body)
		}
		var request map[string]any
		plain := json.Unmarshal([]byte(body), &request) == nil
		if w.Code != http.StatusOK {
			if w.Code != http.StatusBadRequest || !bytes.Contains(w.Body.Bytes(), []byte(`"INVALID_CONTEXT"`)) {
				t.Fatalf("%q: %d %s", body, w.Code, w.Body)
			}
			return
		}
		if body != "" && !plain {
			t.Fatalf("%q was accepted", body)
		}
		given, _ := request["context"].(map[string]any)
		key, _ := given["targetingKey"].(string)
		subject := eval.Context{TargetingKey: key, Attributes: eval.Map(given)}
		var answers struct {
			Flags []struct{ Key, Variant, ErrorCode string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answers); err != nil {
			t.Fatal(err)
		}
		for _, a := range answers.Flags {
			want := p.replicas.Replica(production).Snapshot().Eval().Evaluate(a.Key, &subject)
			variant := ""
			if want.Variant != nil {
				variant = want.Variant.Name
			}
			if a.Variant != variant || a.ErrorCode != string(want.ErrorCode) {
				t.Fatalf("%q: %+v, want %s %s", body, a, variant, want.ErrorCode)
			}
		}
	})
}

package relay

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/eval"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

const (
	relayRole  = accessv1.Role_ROLE_RELAY
	serverRole = accessv1.Role_ROLE_SDK_SERVER
	clientRole = accessv1.Role_ROLE_SDK_CLIENT
)

// newKey draws a key.
func newKey(role accessv1.Role, prefixes ...string) (secret string, key *accessv1.Key) {
	secret, p := accesskey.New()
	return secret, &accessv1.Key{Id: p.ID, SecretHash: p.Hash(), Version: 1, Role: role, FlagPrefixes: prefixes}
}

// shop is an environment with a flag for clients, one of the same rules that is not, and one for
// clients whose key begins otherwise; and relays that follow it, with keys required and without.
func shop(t *testing.T, o func(*Options), keys ...proto.Message) (p *publisher, required, optional *Relay) {
	t.Helper()
	p = newPublisher(t, production, staging)
	visible, other := ruledFlag(t, "shop"), ruledFlag(t, "search")
	visible.ClientVisible, other.ClientVisible = true, true
	p.put(production, visible, other, ruledFlag(t, "shop-dark"))
	p.put(production, keys...)
	upstream, _ := p.serve()
	for _, r := range []**Relay{&required, &optional} {
		relayOptions := options(upstream, production, staging)
		relayOptions.RequireKeys = r == &required
		if o != nil {
			o(&relayOptions)
		}
		*r, _ = startReady(t, relayOptions, p.revision)
	}
	return p, required, optional
}

// TestKeysAtEveryDoor: who may have what, in every protocol; and no secret is logged.
func TestKeysAtEveryDoor(t *testing.T) {
	t.Parallel()
	handed, ofRelay := newKey(relayRole)
	before, ofBefore := newKey(accessv1.Role_ROLE_UNSPECIFIED)
	server, ofServer := newKey(serverRole)
	some, ofSome := newKey(serverRole, "shop", "other")
	public, ofPublic := newKey(clientRole)
	expired, ofExpired := newKey(relayRole)
	ofExpired.ExpiresAt = timestamppb.New(time.Now().Add(-time.Second))
	elsewhere, ofElsewhere := newKey(relayRole)
	strange, ofStrange := newKey(42)
	unknown, _ := newKey(relayRole)
	forged, _ := accesskey.NewFor(ofRelay.GetId())
	rotated, ofRotated := newKey(serverRole)
	newest, drawn := accesskey.NewFor(ofRotated.GetId())
	ofRotated.PreviousSecretHash, ofRotated.PreviousExpiresAt, ofRotated.SecretHash = ofRotated.GetSecretHash(), timestamppb.New(time.Now().Add(time.Hour)), drawn.Hash()
	late, ofLate := newKey(serverRole)
	_, drawn = accesskey.NewFor(ofLate.GetId())
	ofLate.PreviousSecretHash, ofLate.PreviousExpiresAt, ofLate.SecretHash = ofLate.GetSecretHash(), timestamppb.New(time.Now().Add(-time.Second)), drawn.Hash()

	var logged syncBuffer
	p, required, optional := shop(t, func(o *Options) { o.Logger = zerolog.New(&logged).Level(zerolog.DebugLevel) },
		ofRelay, ofBefore, ofServer, ofSome, ofPublic, ofExpired, ofStrange, ofRotated, ofLate)
	p.put(staging, ofElsewhere)
	waitRevision(t, required, p.revision)
	waitRevision(t, optional, p.revision)

	const ok, unauthenticated, denied = codes.OK, codes.Unauthenticated, codes.PermissionDenied
	for _, tc := range []struct {
		name          string
		authorization []string
		// What becomes of it: of evaluations, and of who wants the flags themselves.
		evaluates, follows codes.Code
	}{
		{"none", nil, unauthenticated, unauthenticated},
		{"a relay's", []string{"Bearer " + handed}, ok, ok},
		{"one of before roles", []string{"bearer " + before}, ok, ok},
		{"an SDK's", []string{"Bearer " + server}, ok, ok},
		{"an SDK's for some flags", []string{"Bearer " + some}, ok, denied},
		{"a client's", []string{"Bearer " + public}, ok, denied},
		{"expired", []string{"Bearer " + expired}, denied, denied},
		{"another environment's", []string{"Bearer " + elsewhere}, denied, denied},
		{"of a role that is not known", []string{"Bearer " + strange}, denied, denied},
		{"unknown", []string{"Bearer " + unknown}, denied, denied},
		{"another secret", []string{"Bearer " + forged}, unauthenticated, unauthenticated},
		{"rotated, the newest", []string{"Bearer " + newest}, ok, ok},
		{"rotated, the one before", []string{"Bearer " + rotated}, ok, ok},
		{"rotated, too late", []string{"Bearer " + late}, unauthenticated, unauthenticated},
		{"two", []string{"Bearer " + handed, "Bearer " + handed}, unauthenticated, unauthenticated},
		{"another scheme", []string{"Basic " + handed}, unauthenticated, unauthenticated},
		{"no secret", []string{"Bearer password"}, unauthenticated, unauthenticated},
		{"empty", []string{""}, unauthenticated, unauthenticated},
	} {
		for _, r := range []*Relay{required, optional} {
			for _, d := range doors() {
				want := tc.evaluates
				if d.use == forFollowers {
					want = tc.follows
				}
				if r == optional && tc.authorization == nil {
					want = ok
				}
				v := visitor(t, r, tc.authorization...)
				_, err := d.ask(v)
				if status.Code(err) != want {
					t.Errorf("%s: %s (keys required: %v): %v, want %v", d.name, tc.name, r == required, err, want)
				}
				for _, value := range tc.authorization {
					if _, secret, _ := strings.Cut(value, " "); secret != "" && err != nil && strings.Contains(err.Error(), secret) {
						t.Errorf("%s: %s: the error quotes what was presented: %v", d.name, tc.name, err)
					}
				}
			}
		}
	}
	lines := logged.taken()
	for _, secret := range []string{handed, before, server, some, public, expired, elsewhere, unknown, forged, newest, rotated, late} {
		if random := secret[len("tgk_")+accesskey.IDLength+1:]; strings.Contains(lines, random) {
			t.Errorf("the log has the secret of key %s", secret[4:16])
		}
	}
	if !strings.Contains(lines, "PermissionDenied") {
		t.Error("the log tells nothing of what was refused")
	}
}

// TestClientsHearNoRules: in every protocol a client's key is answered with what is served, and
// nothing else; and for it, flags that are not marked for clients do not exist. One for some flags
// hears everything of those.
func TestClientsHearNoRules(t *testing.T) {
	t.Parallel()
	public, ofPublic := newKey(clientRole)
	narrow, ofNarrow := newKey(clientRole, "shop")
	some, ofSome := newKey(serverRole, "shop")
	_, r, _ := shop(t, nil, ofPublic, ofNarrow, ofSome)
	// What names one of several flags in an answer.
	names := func(text, key string) bool { return strings.Contains(text, `"`+key+`"`) }
	for _, d := range doors() {
		if d.use != forEvaluation || d.name == "Track" || d.name == "OTLP" || strings.Contains(d.name, "events") {
			continue
		}
		ask := func(secret, flag string) string {
			v := visitor(t, r, "Bearer "+secret)
			v.flag = flag
			text, err := d.ask(v)
			if err != nil {
				text = err.Error()
			}
			return text
		}
		answer, dark := ask(public, "shop"), ask(public, "shop-dark")
		if !strings.Contains(answer, "TARGETING_MATCH") || !strings.Contains(answer, "true") {
			t.Errorf("%s: a client's key is answered %s", d.name, answer)
		}
		for _, text := range []string{answer, dark, ask(narrow, "shop"), ask(narrow, "search")} {
			if strings.Contains(text, "rule-of") || strings.Contains(text, "team-of") {
				t.Errorf("%s: a client's key hears %s", d.name, text)
			}
		}
		many := d.name == "EvaluateAll" || d.name == "Watch" || strings.HasSuffix(d.name, " all")
		switch {
		case many && (names(answer, "shop-dark") || !names(answer, "search")):
			t.Errorf("%s: a client's key hears of %s", d.name, answer)
		case many && names(ask(narrow, ""), "search"):
			t.Errorf("%s: a key for flags that begin with shop hears of %s", d.name, ask(narrow, ""))
		case !many:
			for text, flag := range map[string]string{dark: "shop-dark", ask(narrow, "search"): "search", ask(some, "search"): "search"} {
				if !isNotFoundAnswer(text) {
					t.Errorf("%s: %s is told: %s", d.name, flag, text)
				}
			}
		}
		if text := ask(some, "shop-dark"); !strings.Contains(text, "team-of-shop-dark") {
			t.Errorf("%s: an SDK's key for these flags is answered %s", d.name, text)
		}
	}
}

func isNotFoundAnswer(text string) bool {
	lower := strings.ToLower(text)
	return strings.Contains(lower, "flag_not_found") || strings.Contains(lower, "flag not found")
}

// TestRevokedMidway: whatever lasts ends when its key does, or its secret's overlap; and an
// evaluation stream answers nothing more.
func TestRevokedMidway(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *publisher, key *accessv1.Key){
		"revoked": func(p *publisher, key *accessv1.Key) { p.delete(production, syncv1.Kind_KIND_KEY, key.GetId()) },
		"expired": func(p *publisher, key *accessv1.Key) {
			key.Version++
			key.ExpiresAt = timestamppb.New(time.Now().Add(50 * time.Millisecond))
			p.put(production, key)
		},
		"rotated": func(p *publisher, key *accessv1.Key) {
			_, drawn := accesskey.NewFor(key.GetId())
			key.PreviousSecretHash, key.PreviousExpiresAt = key.GetSecretHash(), timestamppb.New(time.Now().Add(50*time.Millisecond))
			key.Version, key.SecretHash = key.GetVersion()+1, drawn.Hash()
			p.put(production, key)
		},
		"another role": func(p *publisher, key *accessv1.Key) {
			key.Role = 42
			p.put(production, key)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secret, key := newKey(serverRole)
			p, r, _ := shop(t, nil, key)
			open := map[string]*visit{}
			for _, d := range doors() {
				if !d.lasts && d.name != "EvaluateStream" {
					continue
				}
				v := visitor(t, r, "Bearer "+secret)
				if _, err := d.ask(v); err != nil {
					t.Fatalf("%s: %v", d.name, err)
				}
				open[d.name] = v
			}
			end(p, key)
			for door, v := range open {
				var err error
				for err == nil { // what was on its way comes first
					_, err = v.next()
				}
				if code := status.Code(err); code != codes.PermissionDenied && code != codes.Unauthenticated {
					t.Errorf("%s ends with %v", door, err)
				}
			}
		})
	}
}

// TestRightChangesMidway: a watch tells what its key sees now.
func TestRightChangesMidway(t *testing.T) {
	t.Parallel()
	secret, key := newKey(serverRole)
	p, r, _ := shop(t, nil, key)
	v := visitor(t, r, "Bearer "+secret)
	watch, err := evaluationv1.NewEvaluationServiceClient(v.conn).Watch(v.ctx, &evaluationv1.WatchRequest{Context: canada(t)})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want string) {
		t.Helper()
		m, err := watch.Recv()
		if err != nil || summary(m) != want {
			t.Fatalf("watch: %s, %v; want %s", summary(m), err, want)
		}
	}
	next("search=on shop=on shop-dark=on")
	key.FlagPrefixes = []string{"shop"}
	p.put(production, key)
	next("search=FLAG_NOT_FOUND")
	p.put(production, boolFlag("search", "Chile")) // which it does not see
	p.put(production, boolFlag("shop", "Chile"))
	next("shop=off")
	key.FlagPrefixes = nil
	p.put(production, key)
	next("search=off")
}

// TestClientsTellOfTheirs: what a client's key tells counts for flags that it sees.
func TestClientsTellOfTheirs(t *testing.T) {
	t.Parallel()
	secret, key := newKey(clientRole)
	_, r, _ := shop(t, nil, key)
	v := visitor(t, r, "Bearer "+secret)
	a, err := telemetryv1.NewTelemetryServiceClient(v.conn).Track(v.ctx, &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{
		{Exposure: &telemetryv1.Exposure{FlagKey: "shop", Variant: "on"}, Observations: failed()},
		{Exposure: &telemetryv1.Exposure{FlagKey: "shop-dark", Variant: "on"}, Observations: failed()},
		{Context: canada(t), Observations: []*telemetryv1.Observation{{Metric: "errors", FlagKey: "shop-dark", Value: failed()[0].GetValue()}}},
	}})
	if err != nil || a.GetTaken() != 1 || len(a.GetRefusals()) != 2 || !strings.Contains(a.GetRefusals()[0].GetMessage(), `there is no flag "shop-dark"`) {
		t.Errorf("%v, %v", a, err)
	}
}

// TestTagsAreOfRights: what stands for the answers to one key does not for those to another.
func TestTagsAreOfRights(t *testing.T) {
	t.Parallel()
	var secrets []string
	var keys []proto.Message
	for _, k := range []struct {
		role     accessv1.Role
		prefixes []string
	}{{role: relayRole}, {role: clientRole}, {role: clientRole, prefixes: []string{"shop"}}, {role: serverRole, prefixes: []string{"shop"}}} {
		secret, key := newKey(k.role, k.prefixes...)
		secrets, keys = append(secrets, secret), append(keys, key)
	}
	_, r, _ := shop(t, nil, keys...)
	env := r.evaluation.environments[0]
	snap := env.replica.Snapshot()
	tags := map[string]string{}
	for i, secret := range secrets {
		who := credential{values: []string{"Bearer " + secret}}
		right, err := who.right(env, snap, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		tag := env.tagOf(snap, right, &eval.Context{}, []byte("{}"))
		if other, taken := tags[tag]; taken {
			t.Errorf("key %d has the tag of %s", i, other)
		}
		tags[tag] = keys[i].(*accessv1.Key).GetRole().String()
	}
}

// TestKeyUsesAreTold: the upstream is told which keys were good for something, in whatever way, and
// of no others.
func TestKeyUsesAreTold(t *testing.T) {
	t.Parallel()
	var keys []proto.Message
	ways := map[string]string{} // by key, what is asked with it
	secrets := map[string]string{}
	for _, d := range doors() {
		secret, key := newKey(relayRole)
		ways[key.GetId()], secrets[d.name], keys = d.name, secret, append(keys, key)
	}
	_, ofUnused := newKey(relayRole)
	forged, _ := accesskey.NewFor(ofUnused.GetId())
	p, r, _ := shop(t, nil, append(keys, ofUnused)...)
	for _, d := range doors() {
		if _, err := d.ask(visitor(t, r, "Bearer "+secrets[d.name])); err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		if _, err := d.ask(visitor(t, r, "Bearer "+forged)); err == nil {
			t.Fatalf("%s: a forged secret is let in", d.name)
		}
	}
	eventually(t, "batches that tell of all keys", func() bool {
		p.collected.mu.Lock()
		defer p.collected.mu.Unlock()
		told := map[string]bool{}
		for _, b := range p.collected.batches {
			for _, u := range b.GetKeyUses() {
				if b.GetEnvironment() != production || ways[u.GetKeyId()] == "" || u.GetLast() == 0 {
					t.Errorf("%s is told of %v", b.GetEnvironment(), u)
				}
				told[u.GetKeyId()] = true
			}
		}
		return len(told) == len(ways)
	})
}

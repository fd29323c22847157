package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	statsig "github.com/statsig-io/go-sdk"
)

// newStatsig builds the case for Statsig's SDK in its local mode, which connects to
// nothing: gates and lists of ids come from an adapter. Exposures are not logged, and
// what it could derive from addresses and user agents is switched off.
func newStatsig(d definition) (contender, error) {
	flags := d.flags()
	gates := make([]object, 0, len(flags)+len(d.sets))
	for _, f := range flags {
		gates = append(gates, statsigGate(f))
	}
	data := adapter{}
	lists := object{}
	for i, s := range d.sets {
		gates = append(gates, statsigSegment(s.key))
		content := statsigList(s.keys)
		data[statsig.ID_LISTS_KEY+"::"+s.key] = content
		lists[s.key] = object{
			"name": s.key, "url": "local", "fileID": fmt.Sprint("file-", i), "creationTime": 1, "size": len(content),
		}
	}
	for key, value := range map[string]object{
		statsig.CONFIG_SPECS_KEY: {"has_updates": true, "time": 1, "feature_gates": gates},
		statsig.ID_LISTS_KEY:     lists,
	} {
		encoded, err := json.Marshal(value)
		if err != nil {
			return contender{}, err
		}
		data[key] = string(encoded)
	}
	client := statsig.NewClientWithOptions("secret-local", &statsig.Options{
		LocalMode: true, DataAdapter: data,
		StatsigLoggerOptions: statsig.StatsigLoggerOptions{
			DisableInitDiagnostics: true, DisableSyncDiagnostics: true, DisableApiDiagnostics: true, DisableAllLogging: true,
		},
		IPCountryOptions: statsig.IPCountryOptions{Disabled: true}, UAParserOptions: statsig.UAParserOptions{Disabled: true},
	})
	user, key := statsigUser(d.contextKey()), d.flag.key
	return contender{
		decide: func() bool { return client.CheckGateWithExposureLoggingDisabled(user, key) },
		close:  client.Shutdown,
	}, nil
}

//go:noinline
func statsigUser(key string) statsig.User {
	return statsig.User{
		UserID: key, Email: attributes["email"], Country: attributes["country"], Custom: map[string]any{
			"plan": attributes["plan"], "device": attributes["device"], "language": attributes["language"],
		},
	}
}

// statsigGate answers true or false only: a rule that serves off is not there.
func statsigGate(f flagSpec) object {
	var rules []object
	add := func(condition object, s share) {
		rules = append(rules, object{
			"id": fmt.Sprint("rule-", len(rules)), "salt": "salt", "passPercentage": float64(s.on) / 1000,
			"idType": "userID", "conditions": []object{condition},
		})
	}
	for _, r := range f.rules {
		for _, segment := range r.segments {
			add(object{"type": "pass_gate", "targetValue": "segment:" + segment}, r.serves)
		}
		if len(r.segments) == 0 {
			add(object{"type": "user_field", "field": r.attribute, "operator": statsigOperator(r.operator), "targetValue": r.values}, r.serves)
		}
	}
	switch {
	case f.prerequisite != "":
		add(object{"type": "pass_gate", "targetValue": f.prerequisite}, f.serves)
	case f.serves != off:
		add(object{"type": "public"}, f.serves)
	}
	return object{"name": f.key, "type": "feature_gate", "salt": "salt", "enabled": !f.disabled, "idType": "userID", "rules": rules}
}

func statsigOperator(operator string) string {
	if operator == "endsWith" {
		return "str_ends_with_any"
	}
	return "any_case_sensitive"
}

func statsigSegment(key string) object {
	return object{"name": "segment:" + key, "type": "feature_gate", "enabled": true, "idType": "userID", "rules": []object{{
		"id": "listed", "passPercentage": 100, "idType": "userID", "conditions": []object{
			{"type": "unit_id", "operator": "in_segment_list", "targetValue": key, "idType": "userID"},
		},
	}}}
}

// statsigList is a list of ids as Statsig sends it: the beginnings of their hashes.
func statsigList(keys []string) string {
	var list strings.Builder
	for _, key := range keys {
		hash := sha256.Sum256([]byte(key))
		list.WriteString("+" + base64.StdEncoding.EncodeToString(hash[:])[:8] + "\n")
	}
	return list.String()
}

// adapter is a source of configuration that never changes.
type adapter map[string]string

func (a adapter) Get(key string) string                    { return a[key] }
func (adapter) Set(string, string)                         {}
func (adapter) Initialize()                                {}
func (adapter) Shutdown()                                  {}
func (adapter) ShouldBeUsedForQueryingUpdates(string) bool { return false }

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	growthbook "github.com/growthbook/growthbook-golang"
)

// object is a JSON object that is built in Go.
type object map[string]any

// newGrowthBook builds the case for GrowthBook's client, without a connection: features
// and groups are given as its API would send them. A disabled feature is not sent at
// all there; off is therefore a feature without rules. Conditions have no suffix
// operator but a pattern, which it compiles once.
func newGrowthBook(d definition) (contender, error) {
	features, groups := object{}, object{}
	for _, f := range d.flags() {
		features[f.key] = growthBookFeature(f)
	}
	for _, s := range d.sets {
		groups[s.key] = object{"type": "list", "attributeKey": "id", "values": s.keys}
	}
	payload, err := json.Marshal(object{"features": features, "savedGroups": groups})
	if err != nil {
		return contender{}, err
	}
	client, err := growthbook.NewClient(context.Background(), growthbook.WithAttributes(growthBookAttributes(d.contextKey())))
	if err != nil {
		return contender{}, err
	}
	if err := client.UpdateFromApiResponseJSON(string(payload)); err != nil {
		return contender{}, err
	}
	ctx, key := context.Background(), d.flag.key
	return contender{
		decide: func() bool { return client.EvalFeature(ctx, key).On },
		close:  func() { _ = client.Close() },
	}, nil
}

func growthBookAttributes(key string) growthbook.Attributes {
	return growthbook.Attributes{
		"id": key, "email": attributes["email"], "country": attributes["country"], "plan": attributes["plan"],
		"device": attributes["device"], "language": attributes["language"],
	}
}

func growthBookFeature(f flagSpec) object {
	if f.disabled {
		return object{"defaultValue": false}
	}
	var rules []object
	if f.prerequisite != "" {
		rules = append(rules, object{"force": f.serves.on > 0, "parentConditions": []object{
			{"id": f.prerequisite, "condition": object{"value": true}, "gate": true},
		}})
	}
	for i, r := range f.rules {
		rules = append(rules, growthBookRule(fmt.Sprint("rule-", i), growthBookCondition(r), r.serves))
	}
	if !f.serves.fixed {
		rules = append(rules, growthBookRule("rollout", nil, f.serves))
	}
	return object{"defaultValue": f.serves.fixed && f.serves.on > 0, "rules": rules}
}

// growthBookRule covers its share of the subjects, in steps of a ten-thousandth, and
// leaves the others to the default value.
func growthBookRule(id string, condition object, s share) object {
	rule := object{"id": id, "force": s.on > 0}
	if condition != nil {
		rule["condition"] = condition
	}
	if !s.fixed {
		rule["coverage"], rule["hashVersion"], rule["hashAttribute"] = float64(s.on)/100_000, 2, "id"
	}
	return rule
}

func growthBookCondition(r ruleSpec) object {
	switch {
	case len(r.segments) == 1:
		return object{"id": object{"$inGroup": r.segments[0]}}
	case len(r.segments) > 1:
		groups := make([]object, 0, len(r.segments))
		for _, key := range r.segments {
			groups = append(groups, object{"id": object{"$inGroup": key}})
		}
		return object{"$or": groups}
	case r.operator == "endsWith":
		return object{r.attribute: object{"$regex": regexp.QuoteMeta(r.values[0]) + "$"}}
	}
	return object{r.attribute: object{"$in": r.values}}
}

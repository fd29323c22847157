package main

import "strings"

// newByHand is the case as someone would write it who needs no flags at all: code for
// this one decision over the same attributes, with nothing to say about how it came to
// it. It is a lower bound, not a rival. Where no decision is left there is none.
func newByHand(d definition) (contender, error) {
	key, a := d.contextKey(), map[string]any{}
	for name, value := range attributes {
		a[name] = value
	}
	sets := make([]map[string]struct{}, len(d.sets))
	for i, s := range d.sets {
		sets[i] = make(map[string]struct{}, len(s.keys))
		for _, key := range s.keys {
			sets[i][key] = struct{}{}
		}
	}
	decide := map[string]func() bool{
		"percentage rollout": func() bool { return inShare(key) },
		"one rule":           func() bool { return isColleague(a) },
		"rule and split":     func() bool { return isColleague(a) && inShare(key) },
		"ten rules":          func() bool { return tenConditions(a) },
	}[d.name]
	switch len(sets) {
	case 1:
		decide = func() bool { return isListed(sets[0], key) }
	case 4:
		decide = func() bool {
			return isListed(sets[0], key) || isListed(sets[1], key) || isListed(sets[2], key) || isListed(sets[3], key)
		}
	}
	return contender{decide: decide}, nil
}

func isColleague(a map[string]any) bool {
	email, _ := a["email"].(string)
	return strings.HasSuffix(email, "@mycompany.com")
}

// inShare hashes with FNV-1a, which is fast for short keys.
func inShare(key string) bool {
	const offset, prime = 0x811c9dc5, 0x01000193
	hash := uint32(offset)
	for i := range len(key) {
		hash = (hash ^ uint32(key[i])) * prime
	}
	return uint64(hash)*100_000>>32 < 99_999
}

func isListed(set map[string]struct{}, key string) bool {
	_, ok := set[key]
	return ok
}

func tenConditions(a map[string]any) bool {
	email, _ := a["email"].(string)
	country, _ := a["country"].(string)
	plan, _ := a["plan"].(string)
	device, _ := a["device"].(string)
	language, _ := a["language"].(string)
	return email == "a0" || email == "b0" || email == "c0" ||
		country == "a1" || country == "b1" || country == "c1" ||
		plan == "a2" || plan == "b2" || plan == "c2" ||
		device == "a3" || device == "b3" || device == "c3" ||
		language == "a4" || language == "b4" || language == "c4" ||
		email == "a5" || email == "b5" || email == "c5" ||
		country == "a6" || country == "b6" || country == "c6" ||
		plan == "a7" || plan == "b7" || plan == "c7" ||
		device == "a8" || device == "b8" || device == "c8" ||
		language == "a9" || language == "b9" || language == "c9"
}

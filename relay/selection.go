package relay

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/eval"
)

const (
	// maxKeyBytes is more than the key of any flag has.
	maxKeyBytes = 256
	// maxFlagKeys bounds what answering a small request takes.
	maxFlagKeys = 10_000
)

// selection is the flags that a request is about.
type selection struct {
	// keys, if not nil, are all: each once, in the order asked.
	keys   []string
	prefix string
}

// selectingRequest is a request for some flags.
type selectingRequest interface {
	GetFlagKeys() []string
	GetKeyPrefix() string
}

func selectionOf(r selectingRequest) (selection, error) {
	named, prefix := r.GetFlagKeys(), r.GetKeyPrefix()
	switch {
	case len(named) == 0:
		return selection{prefix: prefix}, nil
	case prefix != "":
		return selection{}, invalid("key_prefix", "not together with flag_keys: leave one of the two empty")
	case len(named) > maxFlagKeys:
		return selection{}, invalid("flag_keys", "%d keys: want at most %d; ask for all, or by key_prefix", len(named), maxFlagKeys)
	}
	keys, seen := make([]string, 0, len(named)), make(map[string]bool, len(named))
	for i, key := range named {
		if problem := problemOfKey(key); problem != "" {
			return selection{}, invalid("flag_keys", "element %d %s", i, problem)
		}
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return selection{keys: keys}, nil
}

// problemOfKey says why no flag can have the key; empty if one can.
func problemOfKey(key string) string {
	switch {
	case key == "":
		return "is empty: want the key of a flag"
	case len(key) > maxKeyBytes:
		return fmt.Sprintf("has %d bytes: want the key of a flag, of at most %d", len(key), maxKeyBytes)
	}
	return ""
}

// of cuts the chosen flags, by prefix, from all flags in the order of their keys.
func (s selection) of(flags []*eval.Flag) []*eval.Flag {
	if s.prefix == "" {
		return flags
	}
	from, _ := slices.BinarySearchFunc(flags, s.prefix, func(f *eval.Flag, prefix string) int {
		return strings.Compare(f.Key(), prefix)
	})
	to := from
	for to < len(flags) && strings.HasPrefix(flags[to].Key(), s.prefix) {
		to++
	}
	return flags[from:to]
}

// count is how many flags there will be answers for, at most.
func (s selection) count(env *eval.Environment) int {
	if s.keys != nil {
		return len(s.keys)
	}
	return env.FlagCount()
}

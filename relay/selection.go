package relay

import (
	"slices"
	"strings"

	"github.com/tidegate/tidegate/eval"
)

// selection is the flags that a request is about.
type selection struct {
	// keys, if not nil, are all.
	keys   []string
	prefix string
}

// selectingRequest is a request for some flags.
type selectingRequest interface {
	GetFlagKeys() []string
	GetKeyPrefix() string
}

func selectionOf(r selectingRequest) (selection, error) {
	s := selection{keys: r.GetFlagKeys(), prefix: r.GetKeyPrefix()}
	if len(s.keys) == 0 {
		s.keys = nil
		return s, nil
	}
	if s.prefix != "" {
		return s, invalid("key_prefix", "not together with flag_keys: leave one of the two empty")
	}
	if i := slices.Index(s.keys, ""); i >= 0 {
		return s, invalid("flag_keys", "element %d is empty: want the key of a flag", i)
	}
	return s, nil
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

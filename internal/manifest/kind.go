package manifest

import (
	"slices"
	"strings"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

const flagKindPrefix = "FLAG_KIND_"

// FlagKinds are the names of the kinds of flags.
func FlagKinds() []string {
	var names []string
	for number, name := range flagv1.FlagKind_name {
		if number != 0 {
			names = append(names, strings.ToLower(strings.TrimPrefix(name, flagKindPrefix)))
		}
	}
	slices.SortFunc(names, func(a, b string) int { return int(kindNumber(a) - kindNumber(b)) })
	return names
}

// FlagKindName is the name of a kind; empty: none was given, or it is not known here.
func FlagKindName(kind flagv1.FlagKind) string {
	name, known := flagv1.FlagKind_name[int32(kind)]
	if !known || kind == flagv1.FlagKind_FLAG_KIND_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(name, flagKindPrefix))
}

// ParseFlagKind is the inverse of FlagKindName; false if no kind has the name.
func ParseFlagKind(name string) (flagv1.FlagKind, bool) {
	number := kindNumber(name)
	return flagv1.FlagKind(number), number != 0 && strings.ToLower(name) == name
}

func kindNumber(name string) int32 {
	return flagv1.FlagKind_value[flagKindPrefix+strings.ToUpper(name)]
}

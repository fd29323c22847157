package live

import (
	"strings"
	"testing"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestSeesEntry: who may read keys with some prefix reads nothing of what only has such a key by
// chance: a change request by its number, the settings by the environment's name.
func TestSeesEntry(t *testing.T) {
	prefix := func(p string) *stream {
		return &stream{sees: func(key string) bool { return strings.HasPrefix(key, p) }}
	}
	entry := func(k controlv1.ResourceKind, key string) *controlv1.AuditEntry {
		return &controlv1.AuditEntry{Kind: k, Key: key}
	}
	for _, tc := range []struct {
		prefix string
		entry  *controlv1.AuditEntry
		want   bool
	}{
		{"1", entry(controlv1.ResourceKind_RESOURCE_KIND_FLAG, "1st-visit"), true},
		{"1", entry(controlv1.ResourceKind_RESOURCE_KIND_FLAG, "2nd-visit"), false},
		{"1", entry(controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST, "12"), false},
		{"prod", entry(controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT, "production"), false},
		{"", entry(controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST, "12"), true},
		{"", entry(controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT, "production"), true},
	} {
		if got := prefix(tc.prefix).seesEntry(tc.entry); got != tc.want {
			t.Errorf("with prefix %q, %v: %t", tc.prefix, tc.entry, got)
		}
	}
}

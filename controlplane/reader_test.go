package controlplane

import (
	"strings"
	"testing"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestReaderOfEntries: who may read keys with some prefix reads nothing of what only has such a key by
// chance: a change request by its number, the settings by the environment's name, a rollout of
// another's flag.
func TestReaderOfEntries(t *testing.T) {
	const (
		flag    = controlv1.ResourceKind_RESOURCE_KIND_FLAG
		rollout = controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT
	)
	for _, tc := range []struct {
		reads, writes string
		entry         *controlv1.AuditEntry
		of            string // the flag of the rollout
		want, named   bool
	}{
		{"1", "", &controlv1.AuditEntry{Kind: flag, Key: "1st-visit"}, "", true, false},
		{"1", "", &controlv1.AuditEntry{Kind: flag, Key: "2nd-visit"}, "", false, false},
		{"1", "", &controlv1.AuditEntry{Kind: controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST, Key: "12"}, "", false, false},
		{"prod", "", &controlv1.AuditEntry{Kind: controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT, Key: "production"}, "", false, false},
		{"", "", &controlv1.AuditEntry{Kind: controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST, Key: "12"}, "", true, false},
		{"", "", &controlv1.AuditEntry{Kind: controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT, Key: "production"}, "", true, false},
		{"pay", "none", &controlv1.AuditEntry{Kind: rollout, Key: "pay.r"}, "pay.a", true, false},
		{"pay", "pay", &controlv1.AuditEntry{Kind: rollout, Key: "pay.r"}, "shop.a", false, false},
		{"pay", "pay", &controlv1.AuditEntry{Kind: rollout, Key: "shop.r"}, "pay.a", false, false},
		{"pay", "pay", &controlv1.AuditEntry{Kind: rollout, Key: "pay.r"}, "", false, false}, // which is not known
		{"pay", "none", &controlv1.AuditEntry{Kind: flag, Key: "pay.a", RolloutKey: "pay.r"}, "", true, true},
		{"pay", "none", &controlv1.AuditEntry{Kind: flag, Key: "pay.a", RolloutKey: "shop.r"}, "", true, false},
		{"pay", "pay", &controlv1.AuditEntry{Kind: flag, Key: "pay.a", RolloutKey: "shop.r"}, "", true, true},
	} {
		prefix := func(p string) func(string) bool { return func(key string) bool { return strings.HasPrefix(key, p) } }
		got := Reader{Reads: prefix(tc.reads), Writes: prefix(tc.writes)}.Entry(tc.entry, tc.of)
		if (got != nil) != tc.want || (got.GetRolloutKey() != "") != tc.named {
			t.Errorf("who reads %q and writes %q, %v: %v", tc.reads, tc.writes, tc.entry, got)
		}
	}
}

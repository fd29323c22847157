package live

import (
	"slices"
	"testing"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestResumeForgets: a cursor does not say which relays and entries a caller has. Each stream says
// where they begin, once, also where there are none any more.
func TestResumeForgets(t *testing.T) {
	const relays, entries = controlv1.Part_PART_RELAYS, controlv1.Part_PART_ENTRIES
	f := newFixture(t)
	f.relays = &controlv1.ListRelaysResponse{Relays: []*controlv1.Relay{{InstanceId: "r1"}}}
	f.create("a")
	request := &controlv1.WatchRequest{Environment: production, Parts: []controlv1.Part{relays, entries}}
	begins := func(w *watching, part controlv1.Part) *controlv1.WatchResponse {
		passed := w.until(func(m *controlv1.WatchResponse) bool {
			if m.GetCursor() != nil {
				request.From = m.GetCursor()
			}
			return slices.Contains(m.GetResetParts(), part)
		})
		return passed[len(passed)-1]
	}
	first := f.watch(request)
	if m := begins(first, relays); len(m.GetRelays()) != 1 {
		t.Errorf("it begins with the relays %v", m.GetRelays())
	}
	f.mu.Lock()
	f.relays = &controlv1.ListRelaysResponse{}
	f.mu.Unlock()
	first.until(func(m *controlv1.WatchResponse) bool { return slices.Contains(m.GetGoneRelays(), "r1") })

	if m := begins(f.watch(request), relays); len(m.GetRelays()) > 0 {
		t.Errorf("it goes on with the relays %v", m.GetRelays())
	}
	second := f.watch(request)
	if m := begins(second, entries); len(m.GetEntries()) != 1 {
		t.Errorf("it goes on with the entries %v", m.GetEntries())
	}
	f.create("b")
	told := second.until(func(m *controlv1.WatchResponse) bool {
		return slices.ContainsFunc(m.GetEntries(), func(e *controlv1.AuditEntry) bool { return e.GetKey() == "b" })
	})
	if slices.ContainsFunc(told, func(m *controlv1.WatchResponse) bool { return slices.Contains(m.GetResetParts(), entries) }) {
		t.Error("what comes later is told as a beginning")
	}
}

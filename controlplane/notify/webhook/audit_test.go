package webhook

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/notify"
)

// audited is an event of n entries.
func audited(n int) notify.Event {
	e := notify.Event{
		ID: "evt_a", Kind: notify.Audited, Time: time.Unix(1, 0), Environment: "production",
		Audit: &notify.Audit{Seal: 7, Hash: "cafe", Through: 41, Part: 1, Parts: 1},
	}
	for range n {
		e.Audit.Entries = append(e.Audit.Entries, notify.AuditedEntry{
			Revision: 40, Time: time.Unix(0, 0).UTC(), Key: "f/checkout/7ffffffffffffffe", Action: "created", Actor: "ann <@all>", Hash: "beef",
		})
	}
	return e
}

// TestAuditPayload: a webhook gets the seal, and each entry.
func TestAuditPayload(t *testing.T) {
	data, err := marshal(payloadOf(audited(2), ""))
	if err != nil {
		t.Fatal(err)
	}
	var got Payload
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if a := got.Data.Audit; got.Type != "audit.sealed" || a == nil || a.Seal != 7 || a.Hash != "cafe" || len(a.Entries) != 2 || a.Entries[1].Key != "f/checkout/7ffffffffffffffe" {
		t.Errorf("got %s", data)
	}
}

// TestAuditFields: people are shown the newest changes, as many as fit.
func TestAuditFields(t *testing.T) {
	for _, n := range []int{0, 1, notify.MaxAudited} {
		fields := fieldsOf(audited(n))
		if len(fields) != 1+min(n, 8) {
			t.Errorf("%d entries: %d fields", n, len(fields))
		}
		for _, f := range fields[1:] {
			if f.name != "created f/checkout" || strings.Contains(f.value, "<@all>") {
				t.Errorf("shown as %+v", f)
			}
		}
	}
}

package server

import (
	"context"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/notify"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// received are the events that a target took.
type received chan notify.Event

func (r received) Send(_ context.Context, e notify.Event) (string, error) {
	r <- e
	return "taken", nil
}

// TestAuditAnnounced: who asks for it is told what was sealed, with what proves it.
func TestAuditAnnounced(t *testing.T) {
	target, rollouts := make(received, 100), make(received, 100)
	a := start(t, Options{SealEvery: time.Millisecond, Notify: []notify.Target{
		{Name: "siem", Kinds: []notify.Kind{notify.Audited}, Environments: []string{"dev"}, Sender: target},
		{Name: "chat", Sender: rollouts},
	}})
	for _, environment := range []string{"production", "dev"} {
		_, err := a.flags.CreateFlag(t.Context(), &controlv1.CreateFlagRequest{Environment: environment, Flag: boolean("a"), Reason: "test"})
		if err != nil {
			t.Fatal(err)
		}
	}
	var e notify.Event
	select {
	case e = <-target:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody was told")
	}
	head, err := controlv1.NewAuditServiceClient(a.conn).GetTrailHead(t.Context(), &controlv1.GetTrailHeadRequest{Environment: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	audited := e.Audit
	if e.Environment != "dev" || audited == nil || audited.Seal != 1 || audited.Through != head.GetHead().GetThroughRevision() ||
		audited.Part != 1 || audited.Parts != 1 || len(audited.Entries) != 1 || audited.Entries[0].Action != "created" || len(audited.Hash) != 64 {
		t.Errorf("told %+v %+v", e, audited)
	}
	if len(rollouts) > 0 {
		t.Errorf("who did not ask for it was told %+v", <-rollouts)
	}
}

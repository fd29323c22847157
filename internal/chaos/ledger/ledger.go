// Package ledger reads what the store holds of telemetry, by itself: with nothing of the code
// that wrote it, and without believing it. The sums that the collector makes come out by its
// making; here they are left as the store has them.
package ledger

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

const root = "/tidegate/v1/t/"

// Row is one boot of one sender, as its newest batch told and as it was counted.
type Row struct {
	Instance, Boot                               string
	Sequence                                     uint64
	Emitted, Counted, Lost, Refused, Late, Since uint64
}

// Missing is what neither came nor was declared; it is negative where something was declared
// lost that was counted.
func (r *Row) Missing() int64 {
	return int64(r.Emitted) - int64(r.Counted) - int64(r.Lost) - int64(r.Refused) - int64(r.Late)
}

func (r *Row) String() string {
	return fmt.Sprintf("%s/%.8s: emitted %d = counted %d + lost %d + refused %d + late %d + missing %d, in %d batches",
		r.Instance, r.Boot, r.Emitted, r.Counted, r.Lost, r.Refused, r.Late, r.Missing(), r.Sequence)
}

// Ledger is what the store holds at one revision.
type Ledger struct {
	Rows []Row
	// Commits of it so far, and whether senders were forgotten.
	Commits uint64
	Forgot  bool
	// Evidence by rollout.
	Evidence map[string]*rolloutv1.Evidence
}

// Sum adds up the rows.
func (l *Ledger) Sum() Row {
	sum := Row{Instance: "all"}
	for _, r := range l.Rows {
		sum.Sequence += r.Sequence
		sum.Emitted += r.Emitted
		sum.Counted += r.Counted
		sum.Lost += r.Lost
		sum.Refused += r.Refused
		sum.Late += r.Late
	}
	return sum
}

// Read reads the ledger, and the evidence of an environment's rollouts.
func Read(ctx context.Context, s store.Store, environment string) (*Ledger, error) {
	evidence := root + "e/" + environment + "/"
	results, _, err := s.Read(ctx, store.Key(root+"head"), store.Prefix(root+"s/"), store.Prefix(root+"m/"), store.Prefix(evidence))
	if err != nil {
		return nil, err
	}
	l := &Ledger{Evidence: map[string]*rolloutv1.Evidence{}}
	for _, kv := range results[0].KVs {
		head := &telemetryv1.LedgerHead{}
		if err := proto.Unmarshal(kv.Value, head); err != nil {
			return nil, fmt.Errorf("%s: %w", kv.Key, err)
		}
		l.Commits, l.Forgot = head.GetCommits(), head.GetForgotten().GetEmitted() > 0
	}
	marks := map[string]*telemetryv1.LedgerMarks{}
	for _, kv := range results[2].KVs {
		m := &telemetryv1.LedgerMarks{}
		if err := proto.Unmarshal(kv.Value, m); err != nil {
			return nil, fmt.Errorf("%s: %w", kv.Key, err)
		}
		marks[strings.TrimPrefix(kv.Key, root+"m/")] = m
	}
	for _, kv := range results[1].KVs {
		senders := &telemetryv1.LedgerSenders{}
		if err := proto.Unmarshal(kv.Value, senders); err != nil {
			return nil, fmt.Errorf("%s: %w", kv.Key, err)
		}
		m := marks[strings.TrimPrefix(kv.Key, root+"s/")]
		if len(m.GetSequence()) != len(senders.GetSenders()) {
			return nil, fmt.Errorf("%s: %d senders, and marks of %d", kv.Key, len(senders.GetSenders()), len(m.GetSequence()))
		}
		for i, one := range senders.GetSenders() {
			l.Rows = append(l.Rows, Row{
				Instance: one.GetInstanceId(), Boot: one.GetBootId(), Since: one.GetSince(), Sequence: m.GetSequence()[i],
				Emitted: m.GetEmitted()[i], Counted: m.GetCounted()[i], Lost: m.GetLost()[i], Refused: m.GetRefused()[i], Late: m.GetLate()[i],
			})
		}
	}
	for _, kv := range results[3].KVs {
		e := &rolloutv1.Evidence{}
		if err := proto.Unmarshal(kv.Value, e); err != nil {
			return nil, fmt.Errorf("%s: %w", kv.Key, err)
		}
		l.Evidence[strings.TrimPrefix(kv.Key, evidence)] = e
	}
	return l, nil
}

package relay

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// resting is a relay whose telemetry nobody commits but the test.
func resting(t testing.TB) *Relay {
	t.Helper()
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000))
	r, err := Open(t.Context(), options("127.0.0.1:1", production))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	s := p.replicas.Replica(production).Snapshot()
	if err := r.telemetry.byName[production].followed.Publish(s, s.Full()); err != nil {
		t.Fatal(err)
	}
	return r
}

// What a message counts and that it has counted are in one commit: a process that is killed
// after it knows the message when it comes again.
func TestCountsWithItsMark(t *testing.T) {
	t.Parallel()
	r := resting(t)
	c := r.telemetry.byName[production]
	service := &telemetryService{evaluation: r.evaluation, telemetry: r.telemetry}
	const senders, messages = 16, 5000
	var sent [senders]atomic.Uint64
	name := func(i int, sequence uint64) *telemetryv1.Sender {
		return &telemetryv1.Sender{InstanceId: fmt.Sprint("sdk-", i), BootId: "one", Sequence: sequence}
	}
	var sending sync.WaitGroup
	for i := range senders {
		sending.Go(func() {
			for sequence := uint64(1); sequence <= messages; sequence++ {
				sent[i].Store(sequence)
				_, err := r.telemetry.countOnce(c, name(i, sequence), func(bool) error {
					service.observe(c, nil, []*telemetryv1.Event{{Context: subject(i), Observations: failed()}}, &telemetryv1.TrackResponse{})
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	sentAll := make(chan struct{})
	go func() { sending.Wait(); close(sentAll) }()
	var known [senders]uint64
	for done := false; !done; {
		select {
		case <-sentAll:
			done = true // once more, with all of it
		default:
		}
		r.telemetry.commit(time.Now(), true)
		var marked uint64
		for i := range known {
			for last := sent[i].Load(); known[i] < last && r.telemetry.spool.Seen(name(i, known[i]+1)); {
				known[i]++
			}
			marked += known[i]
		}
		if counted := c.tally.Account().Counted; counted != marked {
			t.Errorf("%d are counted of the %d messages that are marked", counted, marked)
			break
		}
	}
	<-sentAll
}

// Who is told that nothing was counted, as the relay ends, is told the truth.
func TestEnding(t *testing.T) {
	t.Parallel()
	r := resting(t)
	c := r.telemetry.byName[production]
	r.telemetry.end()
	_, err := r.telemetry.countOnce(c, nil, func(bool) error {
		t.Error("it was counted")
		return nil
	})
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

// A batch that is too large to be sent is declared lost, and costs nothing else: who waits for
// the commit is answered, and is known when it sends again.
func TestBatchTooLarge(t *testing.T) {
	t.Parallel()
	r := resting(t)
	c := r.telemetry.byName[production]
	huge := &telemetryv1.Batch{
		Environment: production, Tally: &telemetryv1.Tally{Emitted: 1010, Counted: 1000, Lost: 10},
		Windows: []*telemetryv1.Window{{Cells: []*telemetryv1.Cell{{Rollout: string(make([]byte, 1<<20)), Exposures: 1000}}}},
	}
	mark := &telemetryv1.Sender{InstanceId: "sdk", BootId: "one", Sequence: 1}
	entries := c.entries([]*telemetryv1.Batch{huge, {Environment: production, Tally: &telemetryv1.Tally{Emitted: 1015, Counted: 5, Lost: 10}}}, time.Now())
	entries[len(entries)-1].Marks = []*telemetryv1.Sender{mark}
	if err := r.telemetry.append(entries); err != nil {
		t.Fatal(err)
	}
	if total := r.telemetry.spool.Totals(); total.Emitted != 1015 || total.Lost["uncounted"] != 1010 || total.Spooled != 5 {
		t.Errorf("%+v", total)
	}
	if !r.telemetry.spool.Seen(mark) {
		t.Error("the message is not known")
	}
}

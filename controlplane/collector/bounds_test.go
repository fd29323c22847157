package collector

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// A batch with which the judge can do nothing is refused, and the others are counted.
func TestNoRoom(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{Judge: &clerk{room: 2}})
		st := push(t.Context(), s.Collector, everywhere)
		for i := range uint64(9) {
			st.send(batch("a", i+1, 10*(i+1), 0, 10))
		}
		st.answers(t, "a", 9)
		if a := account(t, s); a != (Account{Emitted: 90, Counted: 90}) {
			t.Errorf("%+v", a)
		}
	})
	t.Run("at all", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			s := leading(t, Options{Judge: unroomy{}})
			st := push(t.Context(), s.Collector, everywhere)
			st.send(batch("a", 1, 10, 0, 10))
			if got := st.answers(t, "a", 1); !strings.Contains(got[0].GetRefusal(), "does not fit one transaction") {
				t.Errorf("%v", got)
			}
			if a := account(t, s); a != (Account{Emitted: 10, Refused: 10}) {
				t.Errorf("%+v", a)
			}
		})
	})
}

// A sender that does not wait for acknowledgements is not read, and neither is anybody while
// too much waits.
func TestBounds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{MaxPendingBytes: 2 << 20})
		st := push(t.Context(), s.Collector, everywhere)
		s.store.percent.Store(100) // nothing is committed
		sent := make(chan int, 1000)
		big := batch("a", 1, 10, 0, 10)
		for len(big.GetEvaluations()) < 3000 {
			big.Evaluations = append(big.Evaluations, &telemetryv1.Evaluations{FlagKey: strings.Repeat("f", 90), LastAt: timestamppb.Now()})
		}
		each := proto.Size(big)
		go func() {
			for i := range 100 {
				b := proto.Clone(big).(*telemetryv1.Batch)
				b.Sender.Sequence, b.Tally.Emitted = uint64(i+1), uint64(10*(i+1))
				st.send(b)
				sent <- i
			}
		}()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(sent); n == 0 || n*each > 2<<20+2*each {
			t.Errorf("%d batches of %d bytes were read", n, each)
		}
		s.store.percent.Store(0)
		st.answers(t, "a", 100)
		if a := account(t, s); a != (Account{Emitted: 1000, Counted: 1000}) {
			t.Errorf("%+v", a)
		}
	})
	t.Run("one sender", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			s := leading(t, Options{})
			st := push(t.Context(), s.Collector, everywhere)
			s.store.percent.Store(100)
			sent := make(chan int, 1000)
			go func() {
				for i := range 100 {
					st.send(batch("a", uint64(i+1), uint64(10*(i+1)), 0, 10))
					sent <- i
				}
			}()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if n := len(sent); n < maxUnderWay || n > maxUnderWay+2 {
				t.Errorf("%d batches of one sender wait", n)
			}
			s.store.percent.Store(0)
			st.answers(t, "a", 100)
		})
	})
}

// What does not fit one transaction waits for the next.
func TestManySenders(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{})
		st := push(t.Context(), s.Collector, everywhere)
		largest, commits := 0, 0
		hook := func(txn store.Txn) { largest, commits = max(largest, len(txn.Ops)), commits+1 }
		s.store.hook.Store(&hook)
		const senders = 500
		acked := make(chan struct{})
		go func() {
			defer close(acked)
			for range senders {
				<-st.out
			}
		}()
		for i := range senders {
			st.send(batch(fmt.Sprint("relay-", i), 1, 7, 0, 7))
		}
		<-acked
		if a := account(t, s); a != (Account{Emitted: 7 * senders, Counted: 7 * senders}) {
			t.Errorf("%+v", a)
		}
		if largest > maxLedgerOps+1 || commits < 2 || commits > 5 {
			t.Errorf("%d commits, of %d puts at most", commits, largest)
		}
	})
}

// A shard takes so many senders; those that are known are counted all the same.
func TestTooManySenders(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{Judge: unjudging{}})
		st := push(t.Context(), s.Collector, everywhere)
		var ids []string
		for i := 0; len(ids) <= maxShard; i++ {
			if id := fmt.Sprint(i); (senderID{instance: id}).shard() == 7 {
				ids = append(ids, id)
			}
		}
		acked := make(chan struct{})
		go func() {
			defer close(acked)
			for range maxShard {
				<-st.out
			}
		}()
		for _, id := range ids[:maxShard] {
			st.send(batch(id, 1, 1, 0, 1))
		}
		<-acked
		st.send(batch(ids[0], 2, 2, 0, 1))
		st.answers(t, ids[0], 2)
		st.send(batch(ids[maxShard], 1, 1, 0, 1))
		if err := <-st.err; !errors.Is(err, ErrTooManySenders) {
			t.Error(err)
		}
		if a := account(t, s); a != (Account{Emitted: maxShard + 1, Counted: maxShard + 1}) {
			t.Errorf("%+v", a)
		}
	})
}

// An instance that begins again and again does not take the place of others, nor end the stream
// that they come on.
func TestTooManyBoots(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{Judge: unjudging{}})
		st := push(t.Context(), s.Collector, everywhere)
		go func() {
			for i := range maxBoots + 1 {
				b := batch("looping", 1, 1, 0, 1)
				b.Sender.BootId = fmt.Sprint("boot-", i)
				st.send(b)
			}
			st.send(batch("other", 1, 1, 0, 1))
		}()
		refused := 0
		for _, a := range st.answers(t, "other", 1) {
			if strings.Contains(a.GetRefusal(), "has begun 1024 times in 48h") {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d refusals", refused)
		}
		if a := account(t, s); a != (Account{Emitted: maxBoots + 1, Counted: maxBoots + 1}) {
			t.Errorf("%+v", a)
		}
	})
}

// Who does not take its refusals is not read any more.
func TestRefusalsNotTaken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{})
		st := push(t.Context(), s.Collector, everywhere)
		sent := make(chan int, 10_000)
		go func() {
			for i := range 1000 {
				b := batch("a", uint64(i+1), uint64(i+1), 0, 1)
				b.Environment = ""
				st.send(b)
				sent <- i
			}
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(sent); n > 2*maxUnderWay+maxRefusals+2 {
			t.Errorf("%d refusals wait", n)
		}
		if got := st.answers(t, "a", 1000); len(got) != 1000 {
			t.Errorf("%d refusals of 1000", len(got))
		}
	})
}

func TestCompleteTo(t *testing.T) {
	t.Parallel()
	b := batch("a", 1, 1, 0, 1)
	b.CompleteTo = nil
	end := b.GetWindows()[0].GetBeganAt().AsTime().Add(time.Second)
	if got := newPending(b, "").completeTo(); !got.Equal(end) {
		t.Errorf("%v, want the end of the window, %v", got, end)
	}
	b.Windows = nil
	if got := newPending(b, "").completeTo(); time.Since(got).Abs() > time.Minute {
		t.Errorf("%v, want now", got)
	}
}

func TestMetrics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		s := leading(t, Options{Registerer: registry})
		st := push(t.Context(), s.Collector, everywhere)
		nonsense := batch("a", 2, 14, 0, 4)
		nonsense.Environment = ""
		st.send(batch("a", 1, 10, 0, 10), nonsense, batch("a", 3, 20, 1, 3), batch("a", 3, 20, 1, 3))
		st.answers(t, "a", 3)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"tidegate_telemetry_events emitted": 20, "tidegate_telemetry_events counted": 13, "tidegate_telemetry_events refused": 4,
			"tidegate_telemetry_events lost": 1, "tidegate_telemetry_events missing": 2, "tidegate_telemetry_events late": 0,
			"tidegate_telemetry_senders": 1, "tidegate_collector_batches_total counted": 2, "tidegate_collector_batches_total refused": 1,
			"tidegate_collector_batches_total duplicate": 1, "tidegate_collector_pending_bytes": 0, "tidegate_collector_streams": 1,
			"tidegate_collector_oldest_pending_seconds": 0,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
		if got["tidegate_collector_committed_bytes_total"] == 0 || got["tidegate_collector_commits_total committed"] == 0 {
			t.Errorf("%v", got)
		}
		s.stop()
		if n, err := registry.Gather(); err != nil || len(n) != len(families)-3 {
			t.Errorf("who does not lead tells of %d families, %v; want three less than %d", len(n), err, len(families))
		}
	})
}

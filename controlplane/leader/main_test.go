package leader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
)

func TestMain(m *testing.M) {
	etcdtest.RunNodeIfAsked()
	runCandidateIfAsked()
	goleak.VerifyTestMain(m)
}

// unreliable is one candidate's view of a store: calls fail before or after they happened.
type unreliable struct {
	store.Store
	random *rand.Rand
	// percent of the calls that fail.
	percent atomic.Int32
	// keepAlive fails with it, if set.
	keepAlive atomic.Pointer[error]
	// afterCommit is what commits that happened fail with, if set.
	afterCommit atomic.Pointer[error]
}

func newUnreliable(s store.Store, seed, number uint64) *unreliable {
	return &unreliable{Store: s, random: rand.New(&lockedSource{source: rand.NewPCG(seed, number)})}
}

// lockedSource is shared by all that call a store.
type lockedSource struct {
	mu     sync.Mutex
	source rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source.Uint64()
}

func (u *unreliable) fails() bool { return u.random.Int32N(100) < u.percent.Load() }

func (u *unreliable) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if u.fails() {
		return store.Outcome{}, store.ErrUnavailable
	}
	out, err := u.Store.Commit(ctx, t)
	if e := u.afterCommit.Load(); e != nil {
		return store.Outcome{}, *e
	}
	if u.fails() {
		return store.Outcome{}, store.ErrUnavailable
	}
	return out, err
}

func (u *unreliable) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	if u.fails() {
		return nil, 0, store.ErrUnavailable
	}
	return u.Store.Read(ctx, ranges...)
}

func (u *unreliable) Grant(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	if u.fails() {
		return 0, store.ErrUnavailable
	}
	return u.Store.Grant(ctx, ttl)
}

func (u *unreliable) Revoke(ctx context.Context, lease store.LeaseID) error {
	if u.fails() {
		return store.ErrUnavailable
	}
	return u.Store.Revoke(ctx, lease)
}

func (u *unreliable) KeepAlive(ctx context.Context, lease store.LeaseID) error {
	if e := u.keepAlive.Load(); e != nil {
		return *e
	}
	if u.fails() {
		return store.ErrUnavailable
	}
	return u.Store.KeepAlive(ctx, lease)
}

func newElector(t *testing.T, s store.Store, id string) *Elector {
	t.Helper()
	e, err := New(Options{Store: s, InstanceID: id, Address: id + ":7013", Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const (
	counterKey = "/test/counter"
	logPrefix  = "/test/log/"
)

// count adds one to a counter in the store until ctx ends or the term is over. Nothing but
// the fence guards what it writes: it reads the counter once and then goes by what it wrote,
// so if two leaders' transactions both committed, a number would be there twice. pause
// is called before each write, and may ignore ctx as a process does that is stopped.
func count(ctx context.Context, s store.Store, id string, term Term, pause func()) error {
	value, err := readCounter(ctx, s)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		pause()
		next := value + 1
		out, err := s.Commit(context.WithoutCancel(ctx), store.Txn{
			Compares: []store.Compare{term.Fence()},
			Ops: []store.Op{
				store.Put(counterKey, []byte(strconv.Itoa(next))),
				store.Put(fmt.Sprintf("%s%08d/%s-%d", logPrefix, next, id, term), nil),
			},
		})
		switch {
		case err != nil: // nobody knows what became of it
			if value, err = readCounter(ctx, s); err != nil {
				return err
			}
		case !out.Committed:
			return ErrDeposed
		default:
			value = next
		}
	}
	return nil
}

func readCounter(ctx context.Context, s store.Store) (int, error) {
	results, _, err := s.Read(ctx, store.Key(counterKey))
	if err != nil || len(results[0].KVs) == 0 {
		return 0, err
	}
	return strconv.Atoi(string(results[0].KVs[0].Value))
}

// checkCount looks at what was written: every number once, by terms that rise. It returns
// the counter and the number of terms.
func checkCount(t *testing.T, s store.Store) (counted, terms int) {
	t.Helper()
	results, _, err := s.Read(context.Background(), store.Key(counterKey), store.Prefix(logPrefix))
	if err != nil {
		t.Fatal(err)
	}
	if len(results[0].KVs) > 0 {
		counted, _ = strconv.Atoi(string(results[0].KVs[0].Value))
	}
	if len(results[1].KVs) != counted {
		t.Errorf("the counter is %d after %d increments", counted, len(results[1].KVs))
	}
	last := 0
	for i, kv := range results[1].KVs {
		number, by, _ := strings.Cut(strings.TrimPrefix(kv.Key, logPrefix), "/")
		if n, _ := strconv.Atoi(number); n != i+1 {
			t.Fatalf("increment %d is %s: two leaders wrote", i+1, kv.Key)
		}
		term, _ := strconv.Atoi(by[strings.LastIndex(by, "-")+1:])
		if term < last {
			t.Fatalf("%s was written after term %d", kv.Key, last)
		}
		if term > last {
			terms++
		}
		last = term
	}
	return counted, terms
}

var errGone = errors.New("gone")

package tally

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/tidegate/tidegate/internal/counterfile"
)

// ErrOptions says what is wrong with [Options].
var ErrOptions = errors.New("tally: bad options")

// Options of a [Tally]. What is zero has a default.
type Options struct {
	// Environment is the environment's name. Required.
	Environment string
	// Settling is how long after a change of weight an observation that does not say when its
	// subject was served may belong to the time before: 60 s. It is also how long counters of
	// a step outlive it.
	Settling time.Duration
	// Skew is how far apart the clocks of who serves, who tells and who decides may be: 2 s.
	Skew time.Duration
	// MemoryBytes bounds the memory that grows with traffic: 48 MiB.
	MemoryBytes int
	// BatchBytes is about how large a batch gets before another one is begun: 256 KiB.
	BatchBytes int
	// EvaluationsEvery is how often evaluations of all flags are told: 10 s. Negative: they
	// are not counted.
	EvaluationsEvery time.Duration
	// Reported: what is cut is reported to a relay, which counts what the windows stand for as
	// evaluations by itself.
	Reported bool
	// Exposures, if not nil, is added to for each exposure, before that is counted.
	Exposures *counterfile.File
}

// EnsureDefaults fills in what is zero.
func (o *Options) EnsureDefaults() {
	orDefault(&o.Settling, time.Minute)
	orDefault(&o.Skew, 2*time.Second)
	orDefault(&o.MemoryBytes, 48<<20)
	orDefault(&o.BatchBytes, 256<<10)
	orDefault(&o.EvaluationsEvery, 10*time.Second)
}

func orDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate checks the options, defaults filled in. The error wraps [ErrOptions].
func (o *Options) Validate() error {
	switch {
	case o.Environment == "":
		return fmt.Errorf("%w: Environment is empty; name the environment that is counted for", ErrOptions)
	case o.Settling < 0, o.Skew < 0:
		return fmt.Errorf("%w: Settling is %s and Skew %s; neither can be negative", ErrOptions, o.Settling, o.Skew)
	case o.MemoryBytes < 1<<20:
		return fmt.Errorf("%w: MemoryBytes is %d; at least 1 MiB", ErrOptions, o.MemoryBytes)
	case o.BatchBytes < 1<<10:
		return fmt.Errorf("%w: BatchBytes is %d; at least 1 KiB", ErrOptions, o.BatchBytes)
	}
	return nil
}

// Tally adds up for one environment. It is safe for concurrent use.
type Tally struct {
	options Options
	lanes   int // of counters that are added to without a lock; a power of two
	memory  budget
	losses  [lossReasons]atomic.Uint64
	// folded are observations of subjects that had one counted in the same period.
	folded atomic.Uint64
	// reported is what others have added up, as far as it was taken.
	reported atomic.Uint64
	// lateExposures are those among the losses that came when nobody read their counters any more.
	lateExposures atomic.Uint64

	view atomic.Pointer[view]

	flagsMu sync.Mutex
	flags   map[string]*flagCounts // by key; guarded by flagsMu
	// replaced are counters of flags whose variants changed; guarded by flagsMu.
	replaced []*flagCounts

	mu       sync.Mutex          // guards what follows; taken before flagsMu and any step's
	rollouts map[string]*rollout // those that are not over
	ended    []*rollout          // those that are, until their counters are closed
	// over are revisions of rollouts that need not be read again, by key.
	over    map[string]int64
	began   time.Time // of the window under way; zero before the first Turn
	pending pending
	account account
	told    time.Time // when evaluations were told last
	tell    bool      // with the next Cut
}

// New returns a tally that counts nothing yet: Apply tells it what.
func New(o Options) (*Tally, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	t := &Tally{
		options: o, lanes: lanesFor(runtime.GOMAXPROCS(0)),
		memory:   budget{limit: int64(o.MemoryBytes)},
		flags:    map[string]*flagCounts{},
		rollouts: map[string]*rollout{}, over: map[string]int64{},
	}
	t.view.Store(&view{})
	return t, nil
}

// maxLanes bounds what a counter takes: 64 bytes a lane.
const maxLanes = 16

// lanesFor returns the number of lanes for a number of cores: some more, so that goroutines
// that run at the same time rarely share one.
func lanesFor(cores int) int { return min(1<<bits.Len(uint(2*cores-1)), maxLanes) }

// lane chooses a lane for the calling goroutine: mostly the same one each time, by where its
// stack is, so that a lane's cache line stays with a core.
func (t *Tally) lane() int {
	var here byte
	stack := uint64(uintptr(unsafe.Pointer(&here))) >> 12 //nolint:gosec // only a number that differs between goroutines
	return int(stack*0x9e3779b97f4a7c15>>32) & (t.lanes - 1)
}

// Loss is why something was not counted.
type Loss uint8

// The reasons.
const (
	// Ambiguous: it may belong to either of two steps, and the arm depends on it.
	Ambiguous Loss = iota
	// Late: the step's counters were gone.
	Late
	// Overflow: there was no memory left for it.
	Overflow
	// Unknown: an SDK reported it for a rollout or a metric that is not counted here.
	Unknown
	// Below: an SDK lost it, and said so.
	Below
	lossReasons
)

var lossNames = [lossReasons]string{"ambiguous", "late", "overflow", "unknown", "below"}

// String is the reason's name, for metrics.
func (l Loss) String() string {
	if l < lossReasons {
		return lossNames[l]
	}
	return "none"
}

// Losses lists the reasons.
func Losses() []Loss { return []Loss{Ambiguous, Late, Overflow, Unknown, Below} }

func (t *Tally) lose(why Loss, n uint64) { t.losses[why].Add(n) }

// account is what the batches said so far.
type account struct {
	counted, lost uint64
	completeTo    time.Time
	// drained are the exposures that were served here and taken from their counters, exposures
	// those of them that are in batches, or declared lost by them.
	drained, exposures uint64
}

// Account is how many exposures and observations there were, up to the last Cut.
type Account struct {
	// Emitted = Counted + Lost.
	Emitted, Counted, Lost uint64
	// LostBy is by reason, up to now.
	LostBy [lossReasons]uint64
	// Folded are observations that were taken, of subjects of which one was counted already in
	// the same period; they are not in Emitted.
	Folded uint64
	// MemoryBytes is what of Options.MemoryBytes is taken.
	MemoryBytes int
}

// Account tells what became of everything.
func (t *Tally) Account() Account {
	a := Account{Folded: t.folded.Load(), MemoryBytes: int(t.memory.used.Load())}
	for i := range a.LostBy {
		a.LostBy[i] = t.losses[i].Load()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	a.Counted, a.Lost = t.account.counted, t.account.lost
	a.Emitted = a.Counted + a.Lost
	return a
}

// Exposures is how many that were served here are in the batches that there were, or declared
// lost by them. It is for who calls Cut.
func (t *Tally) Exposures() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.account.exposures
}

package follower

import (
	"errors"
	"slices"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// errLeft: the upstream's state is of an epoch that was left here.
var errLeft = errors.New("its epoch was left for a later one")

// errAnew: the upstream's state is of another store, whose epoch nobody began. Upstreams that know
// of it do not send it, but not all do, nor can one that was not told what is here.
var errAnew = errors.New("its store was made anew, or is another one")

// EpochRecord keeps which epochs were left, over restarts; oldest first.
type EpochRecord interface {
	LeftEpochs() ([]snapshot.Epoch, error)
	SetLeftEpochs([]snapshot.Epoch) error
}

// maxLeft is how many epochs are remembered: each is a restored store.
const maxLeft = 64

// leftEpochs are those that were left for others. None is gone back to: an upstream that
// has one is late, or its store was restored once more and needs a new one. They are told
// apart by what they are, not by their counters, as a store made anew begins at 1 again.
type leftEpochs struct {
	record  EpochRecord // may be nil
	log     zerolog.Logger
	metrics *metrics
	list    []snapshot.Epoch
}

func newLeftEpochs(o Options, m *metrics) leftEpochs {
	l := leftEpochs{record: o.Epochs, log: o.Logger, metrics: m}
	if l.record == nil {
		return l
	}
	list, err := l.record.LeftEpochs()
	if err != nil {
		l.log.Error().Err(err).Msg("which epochs were left is not known: an upstream that is late could bring one back")
	}
	l.list = list
	return l
}

func (l *leftEpochs) has(e snapshot.Epoch) bool { return slices.Contains(l.list, e) }

// leave notes that an epoch is left, before anything of the next is shown or kept.
func (l *leftEpochs) leave(e snapshot.Epoch) {
	if l.has(e) {
		return // by another environment
	}
	l.list = append(l.list, e)
	l.list = l.list[max(len(l.list)-maxLeft, 0):]
	if l.record == nil {
		return
	}
	if err := l.record.SetLeftEpochs(slices.Clone(l.list)); err != nil {
		l.metrics.journalFailures.Inc()
		l.log.Error().Err(err).Stringer("epoch", e).Msg("that an epoch was left may not survive a restart")
	}
}

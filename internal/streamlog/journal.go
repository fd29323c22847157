package streamlog

import (
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Follow has a follower's work logged, with that of its journal.
func (l *Log) Follow(o *follower.Options) {
	if l == nil {
		return
	}
	o.Observer = l
	if o.Journal != nil {
		o.Journal = journal{Journal: o.Journal, log: l}
	}
}

type journal struct {
	follower.Journal
	log *Log
}

func (j journal) Append(next *snapshot.Snapshot, d snapshot.Delta) error {
	err := j.Journal.Append(next, d)
	j.log.write(Record{Event: Append, Environment: next.Environment(), Cursor: cursor(next.Cursor()), Error: text(err)})
	return err
}

func (j journal) Sync(environment string) error {
	before := j.log.last()
	err := j.Journal.Sync(environment)
	j.log.write(Record{Event: Sync, Environment: environment, Covers: before, Error: text(err)})
	return err
}

func (j journal) Forget(environment string) error {
	err := j.Journal.Forget(environment)
	j.log.write(Record{Event: Forget, Environment: environment, Error: text(err)})
	return err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Package audit reads the audit trails, seals them, and proves that they are whole.
//
// Each write commits with its audit entry, and the entries of one resource are a chain: who
// changes one of them, or takes one out of the middle, is found out. What that does not show is a
// resource whose entries are all gone, or the newest ones. So the leader seals each trail, which
// is all entries of an environment: a seal names the entries since the seal before it, by key,
// revision and hash, and has the hash of that seal. Writers wait for none of it. What was
// written since the newest seal, about a second, is proved by the chains of its resources alone.
//
// The seals are in the order of revisions, so they are the index, too, by which entries are
// listed. See docs/adr/0032.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// SealRoot is where the seals are, MarkKey through which revision all trails are sealed. The mark
// only saves work: an entry that is passed over by it is missing in the seals, and found out.
const (
	SealRoot = "/tidegate/v1/h/"
	MarkKey  = "/tidegate/v1/h-mark"
)

// ErrCompacted says that a watch was to begin at a revision that the store does not have any more.
var ErrCompacted = errors.New("audit: the store has compacted that revision: list what was written before, and watch from there")

// Options of Trails.
type Options struct {
	Store store.Store // required
	// Head tells the store's epoch; required to seal.
	Head func(context.Context) (snapshot.Epoch, int64, error)
	// Exists tells, with an error, that there is no such environment; nil: it is not asked.
	Exists func(ctx context.Context, environment string) error
	// Announce returns what has people told of a seal, for the transaction that it is written in;
	// nil: nobody is.
	Announce func(seal *controlv1.Seal, hash []byte) []store.Op
	// Interval between two seals of a trail, at least. Default 1 s.
	Interval   time.Duration
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // default time.Now; for seals only
}

// Trails are all audit trails of a store. Methods may be called from any goroutine.
type Trails struct {
	o       Options
	seals   prometheus.Counter
	altered prometheus.Counter
}

// New makes Trails.
func New(o Options) (*Trails, error) {
	if o.Store == nil {
		return nil, errors.New("audit: Options.Store is required")
	}
	o.Interval = cmp.Or(o.Interval, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidegate", Subsystem: "audit", Name: name, Help: help})
	}
	t := &Trails{
		o:       o,
		seals:   counter("seals_total", "Seals of audit trails that this server wrote."),
		altered: counter("altered_entries_total", "Audit entries that were seen to be changed or deleted, which tidegate never does."),
	}
	if o.Registerer == nil {
		return t, nil
	}
	return t, errors.Join(o.Registerer.Register(t.seals), o.Registerer.Register(t.altered))
}

func trailRoot(environment string) string { return controlplane.AuditRoot + environment + "/" }

func sealPrefix(environment string) string { return SealRoot + environment + "/" }

func sealKey(environment string, number int64) string {
	return sealPrefix(environment) + fmt.Sprintf("%016x", math.MaxInt64-number)
}

// splitKey takes a KIND/KEY/NUMBER apart.
func splitKey(key string) (letter, name string, sequence int64, err error) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 {
		return "", "", 0, fmt.Errorf("%q is not the key of an audit entry", key)
	}
	n, err := strconv.ParseUint(parts[2], 16, 63)
	if err != nil || len(parts[2]) != 16 || n == math.MaxInt64 {
		return "", "", 0, fmt.Errorf("%q is not the key of an audit entry", key)
	}
	return parts[0], parts[1], math.MaxInt64 - int64(n), nil
}

var letters = map[controlv1.ResourceKind]string{
	controlv1.ResourceKind_RESOURCE_KIND_FLAG:     "f",
	controlv1.ResourceKind_RESOURCE_KIND_SEGMENT:  "s",
	controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT:  "r",
	controlv1.ResourceKind_RESOURCE_KIND_KEY:      "k",
	controlv1.ResourceKind_RESOURCE_KIND_IDENTITY: "i",
	controlv1.ResourceKind_RESOURCE_KIND_EPOCH:    "e",

	controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT:    "n",
	controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST: "p",
	controlv1.ResourceKind_RESOURCE_KIND_FREEZE:         "z",
}

// kindName is what a letter stands for, in words.
func kindName(letter string) string {
	switch letter {
	case "f":
		return "flag"
	case "s":
		return "segment"
	case "r":
		return "rollout"
	case "k":
		return "key"
	case "i":
		return "identity"
	case "e":
		return "epoch"
	case "n":
		return "environment"
	case "p":
		return "change request"
	case "z":
		return "freeze"
	}
	return "kind " + letter
}

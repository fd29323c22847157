package streamcheck

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/internal/streamlog"
)

// Truth is what the store held, at every revision of each of its lives. A store that is
// restored from a backup begins another life, whether or not its epoch says so.
type Truth struct{ lives []*life }

// Entry is one step of the truth; the entries of a life come in the order of revisions.
type Entry struct {
	// Life is numbered from 1.
	Life int `json:"life"`
	// Begin opens the life: as a copy of the life Of up to the revision At or, without
	// Of, of an empty store.
	Begin bool  `json:"begin,omitempty"`
	Of    int   `json:"of,omitempty"`
	At    int64 `json:"at,omitempty"`
	// Revision at which Changes happened. Without changes: the store has come this far.
	Revision int64 `json:"revision,omitempty"`
	// Mono is when, by streamlog.Now, the change was known; never before it happened.
	Mono    int64    `json:"mono,omitempty"`
	Changes []Change `json:"changes,omitempty"`
}

// Change is one key's.
type Change struct {
	Key     string `json:"key"`
	Value   []byte `json:"value,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

// ID identifies an item of an environment.
type ID struct {
	Kind int32
	Key  string
}

// life is one history of the store.
type life struct {
	number int
	// head is the last revision that is known.
	head         int64
	epochs       []epoch
	environments map[string]*history
}

// epoch is an epoch that began at a revision.
type epoch struct {
	name     string
	revision int64
	mono     int64
}

// history is one environment's.
type history struct {
	versions []version
	items    map[ID]item // of the last version
}

// version is a state that differs from the one before.
type version struct {
	revision, mono int64
	sum            streamlog.Sum
	steps          []step
}

// step is what happened to one item: a revision of 0 is that of none.
type step struct {
	id      ID
	was, is item
	written []byte
}

type item struct {
	revision int64
	sum      streamlog.Sum
}

// Add takes the next entry.
func (t *Truth) Add(e Entry) error {
	if e.Begin {
		return t.begin(e)
	}
	if e.Life < 1 || e.Life > len(t.lives) {
		return fmt.Errorf("streamcheck: the truth has %d lives, not one of number %d", len(t.lives), e.Life)
	}
	l := t.lives[e.Life-1]
	switch {
	case e.Revision < l.head || e.Revision == l.head && len(e.Changes) > 0:
		return fmt.Errorf("streamcheck: life %d of the store is known up to revision %d; %d cannot follow", e.Life, l.head, e.Revision)
	case len(e.Changes) == 0:
		l.head = e.Revision
		return nil
	}
	l.head = e.Revision
	return l.apply(e)
}

func (t *Truth) begin(e Entry) error {
	if e.Life != len(t.lives)+1 || e.Of < 0 || e.Of >= e.Life {
		return fmt.Errorf("streamcheck: life %d of %d begins, but there are %d", e.Life, e.Of, len(t.lives))
	}
	l := &life{number: e.Life, environments: map[string]*history{}}
	t.lives = append(t.lives, l)
	if e.Of == 0 {
		return nil
	}
	from := t.lives[e.Of-1]
	l.head = e.At
	for _, ep := range from.epochs {
		if ep.revision <= e.At {
			l.epochs = append(l.epochs, ep)
		}
	}
	for name, h := range from.environments {
		l.environments[name] = h.upTo(e.At)
	}
	return nil
}

// upTo copies a history up to a revision.
func (h *history) upTo(revision int64) *history {
	c := &history{items: map[ID]item{}}
	for _, v := range h.versions {
		if v.revision > revision {
			break
		}
		c.versions = append(c.versions, v)
		for _, s := range v.steps {
			c.set(s.id, s.is)
		}
	}
	return c
}

func (h *history) set(id ID, i item) {
	if i.revision == 0 {
		delete(h.items, id)
		return
	}
	h.items[id] = i
}

const (
	epochKey  = "/tidegate/v1/meta/epoch"
	stateRoot = "/tidegate/v1/c/"
)

// stateKey is how the store keeps an item: ENVIRONMENT, a letter for the kind, and the key.
var stateKey = regexp.MustCompile(`^` + stateRoot + `([a-z][a-z0-9-]{0,62})/([fsk])/([A-Za-z0-9][A-Za-z0-9._-]{0,127})$`)

// kinds by letter, as sync.proto numbers them.
var kinds = map[string]int32{"f": 1, "s": 2, "k": 3}

// apply takes all changes of one revision.
func (l *life) apply(e Entry) error {
	steps := map[string][]step{}
	for _, c := range e.Changes {
		if c.Key == epochKey {
			name, err := epochName(c.Value)
			if err != nil {
				return err
			}
			l.epochs = append(l.epochs, epoch{name: name, revision: e.Revision, mono: e.Mono})
			continue
		}
		m := stateKey.FindStringSubmatch(c.Key)
		if m == nil {
			continue
		}
		s := step{id: ID{Kind: kinds[m[2]], Key: m[3]}, written: c.Value}
		h := l.environments[m[1]]
		if h == nil {
			h = &history{items: map[ID]item{}}
			l.environments[m[1]] = h
		}
		s.was = h.items[s.id]
		if !c.Deleted {
			s.is = item{revision: e.Revision, sum: streamlog.Of(s.id.Kind, s.id.Key, e.Revision, c.Value)}
		}
		h.set(s.id, s.is)
		steps[m[1]] = append(steps[m[1]], s)
	}
	for name, s := range steps {
		l.environments[name].push(version{revision: e.Revision, mono: e.Mono, steps: s})
	}
	return nil
}

func (h *history) push(v version) {
	if n := len(h.versions); n > 0 {
		v.sum = h.versions[n-1].sum
	}
	for _, s := range v.steps {
		if s.was.revision != 0 {
			v.sum = v.sum.Minus(s.was.sum)
		}
		if s.is.revision != 0 {
			v.sum = v.sum.Plus(s.is.sum)
		}
	}
	h.versions = append(h.versions, v)
}

// epochName reads the stored epoch.
func epochName(value []byte) (string, error) {
	var stored struct {
		Counter uint64 `json:"counter"`
		Random  string `json:"random"`
	}
	if err := json.Unmarshal(value, &stored); err != nil {
		return "", fmt.Errorf("streamcheck: the store's epoch %q: %w", value, err)
	}
	return fmt.Sprintf("%d-%s", stored.Counter, strings.ToLower(stored.Random)), nil
}

// after is the index of the first version later than the revision.
func (h *history) after(revision int64) int {
	if h == nil {
		return 0
	}
	n, _ := slices.BinarySearchFunc(h.versions, revision+1, func(v version, r int64) int { return int(v.revision - r) })
	return n
}

// sumAt is the digest of the environment at the revision.
func (l *life) sumAt(environment string, revision int64) streamlog.Sum {
	h := l.environments[environment]
	if n := h.after(revision); n > 0 {
		return h.versions[n-1].sum
	}
	return streamlog.Sum{}
}

// next is the first version later than the revision; nil: there is none.
func (l *life) next(environment string, revision int64) *version {
	h := l.environments[environment]
	if n := h.after(revision); h != nil && n < len(h.versions) {
		return &h.versions[n]
	}
	return nil
}

// last is the environment's last version; nil: it never had an item.
func (l *life) last(environment string) *version {
	h := l.environments[environment]
	if h == nil || len(h.versions) == 0 {
		return nil
	}
	return &h.versions[len(h.versions)-1]
}

// knows tells whether the epoch had begun by the revision. A process may learn of a newer
// epoch a moment later, so the older one counts on.
func (l *life) knows(epoch string, revision int64) bool {
	for _, e := range l.epochs {
		if e.name == epoch && e.revision <= revision {
			return true
		}
	}
	return false
}

// having are the lives that have the state that a cursor names.
func (t *Truth) having(environment string, c streamlog.Cursor) []*life {
	var lives []*life
	for _, l := range t.lives {
		if c.Revision <= l.head && l.knows(c.Epoch, c.Revision) && l.sumAt(environment, c.Revision).String() == c.Digest {
			lives = append(lives, l)
		}
	}
	return lives
}

// itemsAt are the items of an environment at a revision, with their own.
func (l *life) itemsAt(environment string, revision int64) map[ID]int64 {
	items := map[ID]int64{}
	if h := l.environments[environment]; h != nil {
		for id, i := range h.upTo(revision).items {
			items[id] = i.revision
		}
	}
	return items
}

// difference is what leads from one state to the other: for each item that differs, its
// revisions before and after.
type difference map[ID][2]int64

// difference within a life takes time in proportion to what happened in between.
func (l *life) difference(environment string, from, to int64) difference {
	d := difference{}
	h := l.environments[environment]
	if h == nil {
		return d
	}
	for _, v := range h.versions[h.after(from):h.after(to)] {
		for _, s := range v.steps {
			before := s.was.revision
			if first, ok := d[s.id]; ok {
				before = first[0]
			}
			d[s.id] = [2]int64{before, s.is.revision}
		}
	}
	for id, r := range d {
		if r[0] == r[1] {
			delete(d, id)
		}
	}
	return d
}

// between is the difference between states of two lives.
func between(environment string, a *life, from int64, b *life, to int64) difference {
	d := difference{}
	was, is := a.itemsAt(environment, from), b.itemsAt(environment, to)
	for id, r := range was {
		if is[id] != r {
			d[id] = [2]int64{r, is[id]}
		}
	}
	for id, r := range is {
		if was[id] == 0 {
			d[id] = [2]int64{0, r}
		}
	}
	return d
}

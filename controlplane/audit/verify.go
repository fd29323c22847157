package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Verifier proves a trail, as it is exported, to be whole: first every entry, then every seal,
// then End. The first error says what is wrong, and where; there is nothing to go on with after
// it. It keeps about 150 bytes for each entry.
//
// What it finds: an entry that was removed, changed, inserted or put elsewhere after it was
// sealed, and one that was removed or changed out of the middle of its resource's history at any
// time. Given a head that was kept elsewhere, it also finds a trail that was cut short since, or
// rewritten with all of its seals.
type Verifier struct {
	environment string
	entries     map[string]proof
	kept        map[int64]*controlv1.TrailHead
	later       *later
	before      sealed
}

// proof is what proves an entry.
type proof struct {
	revision int64
	hash     [sha256.Size]byte
}

// later is the entry that was seen last: that after the next one, in its resource's history.
type later struct {
	resource string
	revision int64
	entry    *controlv1.AuditEntry
}

// NewVerifier makes a Verifier of an environment's trail. kept are heads of it that were kept
// elsewhere; others are passed over.
func NewVerifier(environment string, kept ...*controlv1.TrailHead) *Verifier {
	v := &Verifier{
		environment: environment, entries: make(map[string]proof), kept: make(map[int64]*controlv1.TrailHead),
		before: sealed{Seal: &controlv1.Seal{}},
	}
	for _, head := range kept {
		if head.GetEnvironment() == environment {
			v.kept[head.GetNumber()] = head
		}
	}
	return v
}

// Entry takes in the next entry.
func (v *Verifier) Entry(e *controlv1.StoredEntry) error {
	letter, name, sequence, err := splitKey(e.GetKey())
	if err != nil {
		return err
	}
	resource, where := letter+"/"+name, fmt.Sprintf("%s %q", kindName(letter), name)
	if v.later == nil || v.later.resource != resource {
		if err := v.begun(); err != nil {
			return err
		}
	} else if err := v.follows(where, sequence, e); err != nil {
		return err
	}
	entry, err := decode(e.GetStored(), e.GetRevision())
	if err != nil {
		return fmt.Errorf("%s: entry %d, at revision %d, cannot be decoded: %w", where, sequence, e.GetRevision(), err)
	}
	if entry.GetSequence() != sequence || entry.GetKey() != name || letters[entry.GetKind()] != letter ||
		entry.GetEnvironment() != "" && entry.GetEnvironment() != v.environment {
		return fmt.Errorf("%s: entry %d, at revision %d, is of another place: %s entry %d of %q in %q", where, sequence, e.GetRevision(),
			kindName(letters[entry.GetKind()]), entry.GetSequence(), entry.GetKey(), entry.GetEnvironment())
	}
	if _, twice := v.entries[e.GetKey()]; twice {
		return fmt.Errorf("%s: entry %d is there twice", where, sequence)
	}
	v.entries[e.GetKey()] = proof{e.GetRevision(), sha256.Sum256(e.GetStored())}
	v.later = &later{resource: resource, revision: e.GetRevision(), entry: entry}
	return nil
}

// follows checks an entry against the one after it.
func (v *Verifier) follows(where string, sequence int64, e *controlv1.StoredEntry) error {
	next := v.later.entry
	switch {
	case sequence != next.GetSequence()-1:
		return fmt.Errorf("%s: entry %d is missing: entry %d follows entry %d", where, next.GetSequence()-1, next.GetSequence(), sequence)
	case e.GetRevision() > v.later.revision:
		return fmt.Errorf("%s: entry %d is of revision %d, after entry %d, of revision %d", where, sequence, e.GetRevision(), next.GetSequence(), v.later.revision)
	case !bytes.Equal(next.GetPreviousHash(), hashOf(e.GetStored())):
		return fmt.Errorf("%s: entry %d, at revision %d, was changed, or entry %d was: that names another hash of it", where, sequence, e.GetRevision(), next.GetSequence())
	}
	return nil
}

// begun checks that the history of the resource before has its beginning.
func (v *Verifier) begun() error {
	if v.later == nil {
		return nil
	}
	letter, name, _ := strings.Cut(v.later.resource, "/")
	switch e := v.later.entry; {
	case e.GetSequence() != 1:
		return fmt.Errorf("%s %q: entry %d is missing: the history begins with entry %d", kindName(letter), name, e.GetSequence()-1, e.GetSequence())
	case len(e.GetPreviousHash()) > 0:
		return fmt.Errorf("%s %q: entry 1 names one before it", kindName(letter), name)
	}
	return nil
}

// Seal takes in the next seal, once all entries are.
func (v *Verifier) Seal(stored []byte) error {
	if err := v.begun(); err != nil {
		return err
	}
	v.later = nil
	number := v.before.GetNumber() + 1
	s, err := decodeSeal(stored)
	switch {
	case err != nil:
		return fmt.Errorf("seal %d cannot be decoded: %w", number, err)
	case s.GetNumber() != number:
		return fmt.Errorf("seal %d is missing: seal %d comes in its place", number, s.GetNumber())
	case s.GetEnvironment() != v.environment:
		return fmt.Errorf("seal %d is of another trail, %q", number, s.GetEnvironment())
	case !bytes.Equal(s.GetPreviousHash(), v.before.hash):
		return fmt.Errorf("seal %d was changed, or seal %d was: that names another hash of it", number-1, number)
	case s.GetThroughRevision() < v.before.GetThroughRevision():
		return fmt.Errorf("seal %d is through revision %d, seal %d before it through %d", number, s.GetThroughRevision(), number-1, v.before.GetThroughRevision())
	}
	if kept := v.kept[number]; kept != nil && !bytes.Equal(kept.GetHash(), s.hash) {
		return fmt.Errorf("seal %d is not the one that was kept: its hash is %x, kept is %x: the trail was rewritten, or its store restored from a backup from before revision %d",
			number, s.hash, kept.GetHash(), kept.GetThroughRevision())
	}
	last := &controlv1.SealedEntry{Revision: v.before.GetThroughRevision() + 1}
	for _, line := range s.GetEntries() {
		if err := v.line(s, last, line); err != nil {
			return err
		}
		last = line
	}
	if total := v.before.GetTotal() + int64(len(s.GetEntries())); s.GetTotal() != total {
		return fmt.Errorf("seal %d says that %d entries are sealed: they are %d", number, s.GetTotal(), total)
	}
	v.before = s
	return nil
}

// line checks that an entry is as it was sealed.
func (v *Verifier) line(s sealed, last, line *controlv1.SealedEntry) error {
	letter, name, sequence, err := splitKey(line.GetKey())
	if err != nil {
		return fmt.Errorf("seal %d: %w", s.GetNumber(), err)
	}
	where := fmt.Sprintf("%s %q: entry %d, sealed by seal %d at revision %d", kindName(letter), name, sequence, s.GetNumber(), line.GetRevision())
	there, ok := v.entries[line.GetKey()]
	switch {
	case byRevision(last, line) >= 0 || line.GetRevision() > s.GetThroughRevision():
		return fmt.Errorf("%s, is out of order there", where)
	case !ok:
		return fmt.Errorf("%s, is missing", where)
	case there.revision != line.GetRevision():
		return fmt.Errorf("%s, was written again at revision %d", where, there.revision)
	case !bytes.Equal(there.hash[:], line.GetHash()):
		return fmt.Errorf("%s, was changed: its hash is %x, sealed is %x", where, there.hash, line.GetHash())
	}
	delete(v.entries, line.GetKey())
	return nil
}

// Proven is what a trail was proved to be.
type Proven struct {
	// Head is that of the last seal; nil: nothing is sealed.
	Head *controlv1.TrailHead
	// Unsealed entries are newer than that.
	Unsealed int
	// Kept heads were found again.
	Kept int
}

// End tells that everything was taken in. head is the one that came with the trail; nil: none did.
func (v *Verifier) End(head *controlv1.TrailHead) (Proven, error) {
	if err := v.begun(); err != nil {
		return Proven{}, err
	}
	if !proto.Equal(head, v.before.head()) {
		return Proven{}, fmt.Errorf("the trail ends with seal %d, its head is seal %d: what is between is missing", v.before.GetNumber(), head.GetNumber())
	}
	for number, kept := range v.kept {
		if number > v.before.GetNumber() {
			return Proven{}, fmt.Errorf("the trail ends with seal %d, and seal %d was kept, through revision %d: it was cut short, or its store restored from a backup",
				v.before.GetNumber(), number, kept.GetThroughRevision())
		}
	}
	if err := v.inserted(); err != nil {
		return Proven{}, err
	}
	return Proven{Head: v.before.head(), Unsealed: len(v.entries), Kept: len(v.kept)}, nil
}

// inserted finds the first entry that would have been sealed, had it been there.
func (v *Verifier) inserted() error {
	first, at := "", v.before.GetThroughRevision()
	for key, p := range v.entries {
		if p.revision < at || p.revision == at && (first == "" || key < first) {
			first, at = key, p.revision
		}
	}
	if first == "" {
		return nil
	}
	letter, name, sequence, err := splitKey(first)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s %q: entry %d, at revision %d, is in no seal, and all up to revision %d are sealed: it was inserted, or changed before it was sealed",
		kindName(letter), name, sequence, at, v.before.GetThroughRevision())
}

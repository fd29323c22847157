package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Copied verifies the trails in a copy of a store, as a backup is one.
type Copied struct {
	kept   []*controlv1.TrailHead
	trails map[string]*copiedTrail
}

type copiedTrail struct {
	*Verifier
	// seals as they come, the newest first.
	seals [][]byte
	// wrong is what is wrong with an entry.
	wrong error
}

// NewCopied makes a Copied. kept are heads that were kept elsewhere.
func NewCopied(kept ...*controlv1.TrailHead) *Copied {
	return &Copied{kept: kept, trails: make(map[string]*copiedTrail)}
}

// Add takes in a key of the copy; they must come in their order.
func (c *Copied) Add(kv store.KV) {
	switch {
	case strings.HasPrefix(kv.Key, controlplane.AuditRoot):
		name, key := trailOf(kv.Key)
		if t := c.trail(name); t.wrong == nil {
			t.wrong = t.Entry(&controlv1.StoredEntry{Key: key, Revision: kv.ModRevision, Stored: kv.Value})
		}
	case strings.HasPrefix(kv.Key, SealRoot):
		name, _, _ := strings.Cut(strings.TrimPrefix(kv.Key, SealRoot), "/")
		t := c.trail(name)
		t.seals = append(t.seals, kv.Value)
	}
}

func (c *Copied) trail(name string) *copiedTrail {
	t := c.trails[name]
	if t == nil {
		t = &copiedTrail{Verifier: NewVerifier(name, c.kept...)}
		c.trails[name] = t
	}
	return t
}

// End tells of each trail what it was proved to be, once all keys were taken in. The first one
// that is not whole is an error.
func (c *Copied) End(tell func(trail string, p Proven)) error {
	for _, h := range c.kept {
		c.trail(h.GetEnvironment()) // of which there is nothing, though there was
	}
	for _, name := range slices.Sorted(maps.Keys(c.trails)) {
		p, err := c.trails[name].end()
		if err != nil {
			return fmt.Errorf("the audit trail of %s is not whole: %w", name, err)
		}
		tell(name, p)
	}
	return nil
}

func (t *copiedTrail) end() (Proven, error) {
	if t.wrong != nil {
		return Proven{}, t.wrong
	}
	for _, stored := range slices.Backward(t.seals) {
		if err := t.Seal(stored); err != nil {
			return Proven{}, err
		}
	}
	return t.End(t.before.head())
}

package memstore

import (
	"maps"
	"slices"

	"github.com/tidegate/tidegate/controlplane/store"
)

// Backup is what a store held at some time.
type Backup struct {
	revision, compacted int64
	keys                []string
	versions            map[string][]version
	log                 []logEntry
	leases              map[store.LeaseID]*lease
}

// Backup copies what the store holds.
func (s *Store) Backup() *Backup {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &Backup{revision: s.revision, compacted: s.compacted, keys: s.keys, versions: s.versions, log: s.log, leases: s.leases}
	return b.clone()
}

// Restore makes the store what it was: its revision too, from which it goes on by another
// history. Watches end, as with a database that is stopped for it.
func (s *Store) Restore(b *Backup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := b.clone()
	s.revision, s.compacted, s.keys, s.versions, s.log, s.leases = c.revision, c.compacted, c.keys, c.versions, c.log, c.leases
	for w := range s.watches {
		w.broken = true
	}
	s.wakeLocked()
}

func (b *Backup) clone() *Backup {
	c := &Backup{
		revision: b.revision, compacted: b.compacted, keys: slices.Clone(b.keys), log: slices.Clone(b.log),
		versions: make(map[string][]version, len(b.versions)), leases: make(map[store.LeaseID]*lease, len(b.leases)),
	}
	for key, versions := range b.versions {
		c.versions[key] = slices.Clone(versions)
	}
	for id, l := range b.leases {
		c.leases[id] = &lease{expires: l.expires, keys: maps.Clone(l.keys)}
	}
	return c
}

package controlplane

import (
	"bytes"
	"fmt"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// stored is what the store holds of one environment.
type stored struct {
	items []snapshot.Item
	// guard is when the reference guard was modified last: with each removal of a flag or
	// segment it is.
	guard int64
	// filling: it is being made of another environment.
	filling bool
}

// checkFork makes sure that what the store holds comes from the history that was applied,
// and not from another one of the same epoch: a restored store may have outgrown what was
// applied before it is asked. Up to the applied revision the two must agree in whatever
// was not written since. A fork in which all of that was written since does not show;
// neither does the loss of an access key that was new.
func (a *applier) checkFork(environment string, s stored) error {
	applied := a.revision()
	current := a.replicas.Replica(environment).Snapshot()
	if current == nil {
		current = snapshot.New(environment, a.epoch)
	}
	there := make(map[snapshot.ID]bool, len(s.items))
	for _, i := range s.items {
		there[i.ID()] = true
		if i.ModRevision > applied {
			continue
		}
		held, ok := current.Item(i.Kind, i.Key)
		switch {
		case ok && held.ModRevision > applied: // an attempt to apply it got no further
		case !ok || held.ModRevision != i.ModRevision || !bytes.Equal(held.Data, i.Data):
			return forked(environment, i.ID(), applied)
		}
	}
	if s.guard > applied {
		return nil // what is missing may have been removed since
	}
	for held := range current.Items() {
		removable := held.Kind == flagKind.sync || held.Kind == segmentKind.sync
		if removable && held.ModRevision <= applied && !there[held.ID()] {
			return forked(environment, held.ID(), applied)
		}
	}
	return nil
}

func forked(environment string, id snapshot.ID, applied int64) error {
	return fmt.Errorf("%w (%s in environment %q is not what it was at revision %d, and was not written since)",
		ErrDataLoss, id, environment, applied)
}

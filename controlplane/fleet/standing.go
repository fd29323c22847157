package fleet

import "context"

// Standing is how far a relay is with one environment that it follows.
type Standing struct {
	InstanceID string
	// Connected: now, to a server that answers.
	Connected bool
	// Applied is the revision up to which it has everything; 0: nothing of this epoch.
	Applied int64
	// Rejected is the newest revision of which it could not use something.
	Rejected int64
}

// Has tells whether the relay serves what was written at the revision.
func (s Standing) Has(revision int64) bool { return s.Applied >= revision && s.Rejected < revision }

// Standings asks the other servers once, and returns all relays by the environments that they
// follow, those included that did not say that they stop, but are not connected.
func (f *Fleet) Standings(ctx context.Context) (map[string][]Standing, error) {
	all, _, err := f.look(ctx, "")
	if err != nil {
		return nil, err
	}
	standings := make(map[string][]Standing)
	for _, m := range all {
		for _, has := range m.has {
			s := Standing{InstanceID: m.id, Connected: m.connected, Rejected: has.rejections.Newest}
			if h := f.histories.of(has.environment); h != nil {
				s.Applied = h.reach(has.cursor)
			}
			standings[has.environment] = append(standings[has.environment], s)
		}
	}
	return standings, nil
}

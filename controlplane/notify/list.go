package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// ErrCursor says that a list cannot go on where it was told to.
var ErrCursor = errors.New("notify: no list ends there")

// State of a notification that was not delivered.
type State int

// States that there are.
const (
	Waiting State = iota + 1
	Dead
)

// root is where the records of a state are.
func (s State) root() string {
	if s == Dead {
		return deadRoot
	}
	return outboxRoot
}

// Notification is an event that a target was not told: it waits for its turn, or it was given
// up, and is a dead letter.
type Notification struct {
	State State
	// Target's name, and the ID of the event: together they name it.
	Target, ID string
	// Event is nil if the record is damaged.
	Event *Event
	// Queued is when the event was to be told.
	Queued time.Time
	// Died is when it was given up; zero: it waits.
	Died time.Time
	// Progress is nil if nothing is known of it: the server that is asked does not lead.
	Progress *Progress
	// Revision of the store at which it came to wait, or died.
	Revision int64
}

// Progress is what came of a notification: at the server that leads, or that gave it up. Others
// may have tried before.
type Progress struct {
	Attempts int
	// Problem is why it was given up, or what the newest attempt failed at; of one that was not
	// tried yet, what its target failed at last. Empty: nothing.
	Problem string
	// Next is when it may be tried next; it may be past. Zero: at once, or never.
	Next time.Time
}

// Query says what to list.
type Query struct {
	// Target is the name of the only one; empty: all.
	Target string
	// State is the only one; 0: both, first what waits.
	State State
	// After is where the list ended so far; empty: it begins.
	After string
	// Limit is the greatest number of results; 0: all.
	Limit int
}

// roots are where the query has yet to look, and the key to begin with in the first.
func (q Query) roots() (roots []string, from string, err error) {
	for _, s := range []State{Waiting, Dead} {
		if q.State != 0 && q.State != s {
			continue
		}
		root := s.root()
		if q.Target != "" {
			root += q.Target + "/"
		}
		roots = append(roots, root)
	}
	if q.After == "" {
		return roots, roots[0], nil
	}
	for i, root := range roots {
		if strings.HasPrefix(q.After, root) {
			return roots[i:], q.After + "\x00", nil
		}
	}
	return nil, "", fmt.Errorf("%w: %q", ErrCursor, q.After)
}

// List returns what was not delivered: by state, target and ID; and where the next list begins
// (Query.After), empty if there is nothing more. Each call is as of when it is made. Any server
// may be asked.
func (n *Notifier) List(ctx context.Context, q Query) (list []Notification, after string, err error) {
	roots, from, err := q.roots()
	if err != nil {
		return nil, "", err
	}
	for i, root := range roots {
		if i > 0 {
			from = root
		}
		for more := true; more; {
			r := store.Range{Key: from, End: store.PrefixEnd(root), Limit: page}
			if q.Limit > 0 {
				r.Limit = min(page, q.Limit-len(list)+1)
			}
			results, _, err := n.o.Store.Read(ctx, r)
			if err != nil {
				return nil, "", fmt.Errorf("read the notifications: %w", err)
			}
			for _, kv := range results[0].KVs {
				if q.Limit > 0 && len(list) == q.Limit {
					return list, after, nil
				}
				list, after = append(list, n.notification(kv)), kv.Key
				from = kv.Key + "\x00"
			}
			more = results[0].More
		}
	}
	return list, "", nil
}

// Get returns one notification; ErrNotFound if it was taken, discarded, or never there. Any
// server may be asked.
func (n *Notifier) Get(ctx context.Context, target, id string) (Notification, error) {
	results, _, err := n.o.Store.Read(ctx, store.Key(outboxRoot+target+"/"+id), store.Key(deadRoot+target+"/"+id))
	if err != nil {
		return Notification{}, fmt.Errorf("read the notification: %w", err)
	}
	for _, r := range results {
		if len(r.KVs) > 0 {
			return n.notification(r.KVs[0]), nil
		}
	}
	return Notification{}, fmt.Errorf("%w: event %q for target %q", ErrNotFound, id, target)
}

// notification is what a record says, and what this server knows beside it.
func (n *Notifier) notification(kv store.KV) Notification {
	if strings.HasPrefix(kv.Key, deadRoot) {
		return deadNotification(kv)
	}
	target, id := splitKey(kv.Key, outboxRoot)
	found := Notification{State: Waiting, Target: target, ID: id, Revision: kv.ModRevision}
	if r, err := decodeRecord(kv.Value); err == nil {
		found.Event, found.Queued = &r.Event, r.Queued
	}
	if d := n.term.Load(); d != nil {
		found.Progress = d.progress(refOf(kv))
	}
	return found
}

func deadNotification(kv store.KV) Notification {
	target, id := splitKey(kv.Key, deadRoot)
	found := Notification{State: Dead, Target: target, ID: id, Revision: kv.ModRevision, Progress: &Progress{}}
	var d deadRecord
	if err := json.Unmarshal(kv.Value, &d); err != nil {
		found.Progress.Problem = fmt.Sprintf("not known: the dead letter is damaged: %v", err)
		return found
	}
	found.Died, found.Progress.Attempts, found.Progress.Problem = d.Died, d.Attempts, d.Reason
	if d.Record != nil {
		found.Event, found.Queued = &d.Record.Event, d.Record.Queued
	}
	return found
}

// Leads tells whether this server delivers, and so knows what came of what waits.
func (n *Notifier) Leads() bool { return n.term.Load() != nil }

// progress of what waits; nil: the delivery does not know of it yet, or no longer.
func (d *delivery) progress(r ref) *Progress {
	target, _ := splitKey(r.key, outboxRoot)
	d.mu.Lock()
	l := d.lanes[target]
	d.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.progress(r)
}

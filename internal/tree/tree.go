// Package tree knows what is below a server or relay: its direct followers, and what those
// that are relays report of their own. It is how receipts travel up: a follower's Acks and
// Reports (sync.proto) change the tree, and what changed is taken out of it as Reports
// again, for the next hop or for who counts.
//
// A relay that moves, or starts anew, is for a while told of over two ways. Of one start,
// its later stream counts; of two starts, the one that was heard of later. A way that ends
// late takes nothing from the other.
//
// Work is in proportion to the change, whatever the size of the tree. SDKs are counted,
// and not told of. Nobody waits for anybody: who takes slowly gets several changes in one.
package tree

import (
	"slices"
	"sync"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// maxPath is how many followers may stand in a row.
const maxPath = 4

// Tree is what is below one process. Its methods may be called from any goroutine.
type Tree struct {
	self string

	mu            sync.Mutex
	branches      map[*Branch]struct{}
	nodes         map[string]*node
	subscriptions map[*Subscription]struct{}
}

// New makes the tree below the process with the instance id.
func New(self string) *Tree {
	return &Tree{
		self: self, branches: make(map[*Branch]struct{}),
		nodes: make(map[string]*node), subscriptions: make(map[*Subscription]struct{}),
	}
}

// node is one relay, by whichever ways it is told of.
type node struct {
	id string
	// claims in the order in which they were made; there is at least one.
	claims []*claim
	// shown is the one that counts; nil: none, the relay is gone.
	shown *claim
	// leftBoot is the start of the relay that ended by itself: what is still claimed of it
	// is late.
	leftBoot string
}

// claim is what one branch says of one relay.
type claim struct {
	branch   *Branch
	boot     string
	stream   uint64
	region   string
	version  string
	upstream string
	streams  uint32
	has      []applied
}

// Rejections are the items that a relay cannot use.
type Rejections struct {
	Count uint32
	// Newest is the newest revision at which one of them was written.
	Newest int64
}

// applied is what a relay has of one environment.
type applied struct {
	environment string
	cursor      *snapshot.Cursor // nil: nothing yet
	rejections  Rejections
	// claimed is what it says that it has, without an acknowledgement; nil: it does not.
	claimed *snapshot.Cursor
	// confirmed is when its state was the store's; zero: nobody said.
	confirmed time.Time
}

// Streams counts the direct followers, relays and SDKs.
func (t *Tree) Streams() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.branches)
}

// Path is the longest chain of followers, the farthest first, of at most as many as may
// stand in a row.
func (t *Tree) Path() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var longest []string
	for b := range t.branches {
		if len(b.path) > len(longest) {
			longest = b.path
		}
	}
	for id, n := range t.nodes {
		if n.shown == nil {
			continue
		}
		path := []string{id}
		for up := n; up != nil && up.shown != nil && up.shown.upstream != t.self && len(path) < maxPath; {
			path = append(path, up.shown.upstream)
			up = t.nodes[up.shown.upstream]
		}
		if len(path) > len(longest) {
			longest = path
		}
	}
	return slices.Clone(longest)
}

// claimLocked sets what a branch says of a relay. now: it is to be told at once.
func (t *Tree) claimLocked(id string, c *claim, now bool) {
	n := t.nodes[id]
	if n == nil {
		n = &node{id: id}
		t.nodes[id] = n
	}
	i := slices.IndexFunc(n.claims, func(o *claim) bool { return o.branch == c.branch })
	switch {
	case i < 0:
		n.claims = append(n.claims, c)
	case n.claims[i].boot != c.boot: // a start that is heard of now
		n.claims = append(slices.Delete(n.claims, i, i+1), c)
	default:
		n.claims[i] = c
	}
	if was := n.shown; n.choose() != was {
		now = now || was == nil || was.branch != c.branch
	} else if n.shown != c {
		return // another one counts
	}
	if n.shown == nil {
		t.tellLocked(n, departure{left: true}, true)
		return
	}
	t.tellLocked(n, departure{}, now)
}

// choose sets and returns the claim that counts: of the start heard of last, that of the
// latest stream.
func (n *node) choose() *claim {
	n.shown = nil
	for _, c := range slices.Backward(n.claims) {
		switch {
		case c.boot == n.leftBoot:
		case n.shown == nil, c.boot == n.shown.boot && c.stream > n.shown.stream:
			n.shown = c
		}
	}
	return n.shown
}

// departure is how a relay went.
type departure struct {
	left    bool     // it ended by itself
	revoked []string // environments that it was told to drop
}

// unclaimLocked ends what a branch says of a relay.
func (t *Tree) unclaimLocked(id string, b *Branch, d departure) {
	n := t.nodes[id]
	i := slices.IndexFunc(n.claims, func(c *claim) bool { return c.branch == b })
	if d.left {
		n.leftBoot = n.claims[i].boot
	}
	was := n.shown
	n.claims = slices.Delete(n.claims, i, i+1)
	if n.choose() != was {
		t.tellLocked(n, d, true)
	}
	if len(n.claims) == 0 {
		delete(t.nodes, id)
	}
}

// tellLocked has the relay told of, as it then is; should it be gone, it went like this.
func (t *Tree) tellLocked(n *node, d departure, now bool) {
	for s := range t.subscriptions {
		s.noteLocked(n.id, d, now)
	}
}

// status is the wire form of what counts.
func (n *node) status(now time.Time) *syncv1.RelayStatus {
	c := n.shown
	status := &syncv1.RelayStatus{
		InstanceId: n.id, BootId: c.boot, Region: c.region, Version: c.version,
		Upstream: c.upstream, Streams: c.streams, StreamNumber: c.stream,
		Environments: make([]*syncv1.RelayEnvironment, len(c.has)),
	}
	for i := range c.has {
		status.Environments[i] = c.has[i].proto(now)
	}
	return status
}

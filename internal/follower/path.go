package follower

import (
	"fmt"
	"slices"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

const (
	// maxHops is the most that a relay may be away from the store; an SDK, one more.
	maxHops = 4
	// unknownHop stands in a path for a process of which nobody said who it is.
	unknownHop = "?"
)

// pathOf is the path of an upstream. One that does not tell it tells its hops.
func pathOf(w *syncv1.Welcome) []string {
	if path := w.GetPath(); len(path) > 0 {
		return path
	}
	path := slices.Repeat([]string{unknownHop}, int(min(w.GetHops(), maxHops))+1)
	path[len(path)-1] = w.GetInstanceId()
	return path
}

// follows notes the path of the upstream, now or as it has become. An error (errLoop)
// says that it cannot be followed: because it follows this process, or is too far from
// the store. Where two relays began to follow each other at the same moment, each finds
// out here with what the other learns.
func (in *intake) follows(upstream []string) error {
	hops, most := len(upstream)-1, maxHops-1
	if in.sdk {
		most = maxHops
	}
	switch {
	case slices.Contains(upstream, in.instanceID):
		return fmt.Errorf("%w: its path is %q", errLoop, upstream[:min(len(upstream), 2*maxHops)])
	case hops > most:
		return fmt.Errorf("%w: it is %d hops away from the store; at most %d are allowed", errLoop, hops, most)
	}
	if path := append(slices.Clone(upstream), in.instanceID); !slices.Equal(path, in.path) {
		in.path = path
	}
	return nil
}

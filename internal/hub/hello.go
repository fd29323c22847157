package hub

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	protocol  = 1
	maxScopes = 64
	// maxPath is how many relays may stand in a row.
	maxPath = 4
	// maxName bounds ids and names, in bytes.
	maxName = 256
)

// admit checks a Hello and makes the stream's scopes of it.
func (s *stream) admit(hello *syncv1.Hello) error {
	if hello.GetProtocol() != protocol {
		return status.Errorf(codes.FailedPrecondition,
			"protocol %d is not known here; this server speaks protocol %d", hello.GetProtocol(), protocol)
	}
	if err := checkHello(hello); err != nil {
		return status.Errorf(codes.InvalidArgument, "hello: %v", err)
	}
	if err := s.checkPath(hello); err != nil {
		return err
	}
	seen := make(map[string]bool, len(hello.GetScopes()))
	for i, sc := range hello.GetScopes() {
		name := sc.GetEnvironment()
		if seen[name] {
			return status.Errorf(codes.InvalidArgument, "hello: scopes[%d]: environment %q occurs twice", i, name)
		}
		seen[name] = true
		var have *snapshot.Cursor
		if sc.GetCursor() != nil {
			c, err := snapshot.CursorFromProto(sc.GetCursor())
			if err != nil {
				return status.Errorf(codes.InvalidArgument, "hello: scopes[%d]: %v", i, err)
			}
			have = &c
		}
		s.wanted = append(s.wanted, wanted{name, have, heldEpoch(sc, have)})
	}
	s.follower = Follower{
		InstanceID: hello.GetInstanceId(), Region: hello.GetRegion(), Version: hello.GetVersion(),
		Peer: s.peer, Path: hello.GetPath(), Since: s.since,
		Kind: hello.GetFollowerKind(), BootID: hello.GetBootId(), StreamNumber: hello.GetStreamNumber(),
		previews: hello.GetFollowerKind() == syncv1.FollowerKind_FOLLOWER_KIND_RELAY &&
			slices.Contains(hello.GetCapabilities(), syncv1.Capability_CAPABILITY_PREVIEW),
	}
	for _, sc := range hello.GetScopes() {
		s.follower.Environments = append(s.follower.Environments, sc.GetEnvironment())
	}
	s.scopes = make([]*scope, 0, len(s.wanted))
	s.adopt()
	if len(s.scopes) == 0 {
		return status.Errorf(codes.NotFound, "none of the environments %q is known here; known: %q",
			s.unknown(), s.known())
	}
	return s.authorizeHello()
}

// checkPath refuses a follower that is its own upstream, or that would be too far down.
func (s *stream) checkPath(hello *syncv1.Hello) error {
	path := s.hub.o.Path()
	switch {
	case slices.Contains(hello.GetPath(), s.hub.o.InstanceID):
		return goodbye(syncv1.Goodbye_CODE_LOOP, "%s is its own upstream, over %v", s.hub.o.InstanceID, hello.GetPath())
	case slices.Contains(path, hello.GetInstanceId()):
		return goodbye(syncv1.Goodbye_CODE_LOOP, "%s is its own upstream, over %v", hello.GetInstanceId(), path)
	case len(path) > maxPath && hello.GetFollowerKind() != syncv1.FollowerKind_FOLLOWER_KIND_SDK:
		return goodbye(syncv1.Goodbye_CODE_LOOP, "%s is %d hops below the control server, over %v; no relay may follow it: at most %d hops are allowed, and SDKs below the last",
			s.hub.o.InstanceID, hops(path), path, maxPath)
	}
	return nil
}

// wanted is an environment that the follower asked for, and that is not known here yet.
type wanted struct {
	environment string
	have        *snapshot.Cursor
	held        snapshot.Epoch
}

// heldEpoch is the epoch of what a follower has: who asks for it anew shows no cursor.
func heldEpoch(sc *syncv1.Scope, have *snapshot.Cursor) snapshot.Epoch {
	if have != nil {
		return have.Epoch
	}
	return snapshot.Epoch{Counter: sc.GetHeldEpoch().GetCounter(), Random: sc.GetHeldEpoch().GetRandom()}
}

// adopt makes scopes of the wanted environments that are known by now, and sets them
// going.
func (s *stream) adopt() {
	s.wanted = slices.DeleteFunc(s.wanted, func(w wanted) bool {
		r := s.hub.o.Replicas.Replica(w.environment)
		if r != nil {
			s.adoptOne(r, w)
		}
		return r != nil
	})
}

func (s *stream) adoptOne(r *replica.Replica, w wanted) {
	sc := &scope{stream: s, index: len(s.scopes), have: w.have, held: w.held, state: compare}
	sc.feed = s.hub.join(r, sc)
	sc.purged = sc.feed.purged.Load()
	s.scopes = append(s.scopes, sc)
	s.remember(sc)
	sc.wake()
}

func (s *stream) unknown() []string {
	names := make([]string, 0, len(s.wanted))
	for _, w := range s.wanted {
		names = append(names, w.environment)
	}
	return names
}

func checkHello(hello *syncv1.Hello) error {
	for _, f := range []struct {
		field, value string
		required     bool
	}{
		{"instance_id", hello.GetInstanceId(), true},
		{"boot_id", hello.GetBootId(), true},
		{"region", hello.GetRegion(), false},
		{"version", hello.GetVersion(), false},
	} {
		switch {
		case f.required && f.value == "":
			return fmt.Errorf("%s is empty", f.field)
		case len(f.value) > maxName:
			return fmt.Errorf("%s is %d bytes long; at most %d are allowed", f.field, len(f.value), maxName)
		}
	}
	path, scopes := hello.GetPath(), hello.GetScopes()
	switch {
	case len(path) > maxPath:
		return fmt.Errorf("path has %d followers in a row; at most %d are allowed", len(path), maxPath)
	case len(path) == 0 || path[len(path)-1] != hello.GetInstanceId():
		return fmt.Errorf("path does not end with instance_id %q", hello.GetInstanceId())
	case slices.ContainsFunc(path, func(id string) bool { return id == "" || len(id) > maxName }):
		return fmt.Errorf("path has an instance id that is empty, or longer than %d bytes", maxName)
	case len(scopes) == 0:
		return errors.New("scopes is empty: name at least one environment")
	case len(scopes) > maxScopes:
		return fmt.Errorf("scopes has %d entries; at most %d are allowed", len(scopes), maxScopes)
	}
	return nil
}

//go:build unix

package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/streamlog"
)

// other is an environment beside the writers'.
const other = "staging"

// revocation is a scenario in which nobody follows without a key: a relay of two
// environments, and one behind it.
type revocation struct {
	*scenario
	keys         controlv1.KeyServiceClient
	key          *controlv1.KeyVersion
	file         string // of the relay's key
	state        string // the relay's state directory
	edge, behind *relay
}

func newRevocation(t *testing.T) *revocation {
	t.Helper()
	s := newScenario(t)
	etcd := s.etcd(etcdtest.Options{})
	srv := s.server("--etcd-endpoints", etcd.Endpoints()[0], "--require-keys")
	r := &revocation{scenario: s, keys: controlv1.NewKeyServiceClient(bed.Dial(s, srv.GRPC)), state: s.folder("state")}
	_, observer := r.create("who looks", bed.Environment, other)
	s.ctx = metadata.AppendToOutgoingContext(s.ctx, "authorization", "Bearer "+observer)
	for _, environment := range []string{bed.Environment, other} {
		_, err := controlv1.NewFlagServiceClient(bed.Dial(s, srv.GRPC)).Apply(s.ctx, &controlv1.ApplyRequest{
			Environment: environment, Reason: "here", RequestId: uuid.NewString(),
			Flags: []*controlv1.FlagWrite{{Flag: (&churned{key: bulkKey, enabled: true, count: 1}).asFlag()}},
		})
		s.must(err)
	}
	s.bulks = 1 // it has a trail

	key, secret := r.create("edge", bed.Environment, other)
	r.key, r.file = key, r.write(secret)
	r.edge = &relay{}
	r.edge.Relay = bed.NewRelay(s, bin, r.edge.front(s, srv.GRPC), r.state,
		append(s.logged("relay"), "--environments", other, "--key-file", r.file, "--require-keys")...)
	r.edge.Start()
	// The same key: one of its own would be a right of its own.
	r.behind = &relay{}
	r.behind.Relay = bed.NewRelay(s, bin, r.behind.front(s, r.edge.GRPC), s.folder("state"),
		append(s.logged("relay"), "--key-file", r.file)...)
	r.behind.Start()
	s.relays = append(s.relays, r.edge, r.behind)
	return r
}

func (r *revocation) write(secret string) (file string) {
	r.Helper()
	file = r.folder("key")
	r.must(os.WriteFile(file, []byte(secret+"\n"), 0o600))
	return file
}

func (r *revocation) create(name string, environments ...string) (key *controlv1.KeyVersion, secret string) {
	r.Helper()
	a, err := r.keys.CreateKey(r.ctx, &controlv1.CreateKeyRequest{
		Name: name, Environments: environments, Reason: "chaos", RequestId: uuid.NewString(),
	})
	r.must(err)
	return a.GetKey(), a.GetSecret()
}

// scope has the relay's key open these environments from now on.
func (r *revocation) scope(environments ...string) {
	r.Helper()
	a, err := r.keys.UpdateKey(r.ctx, &controlv1.UpdateKeyRequest{
		KeyId: r.key.GetKey().GetId(), Name: "edge", Environments: environments,
		BaseRevision: r.key.GetRevision(), Reason: "chaos", RequestId: uuid.NewString(),
	})
	r.must(err)
	r.key = a.GetKey()
}

// answers tells whether a relay answers for an environment; an error says neither.
func (r *revocation) answers(relay *relay, environment string) (bool, error) {
	_, err := evaluationv1.NewEvaluationServiceClient(bed.Dial(r, relay.GRPC)).Evaluate(r.ctx,
		&evaluationv1.EvaluateRequest{Environment: environment, FlagKey: bulkKey})
	switch status.Code(err) {
	case codes.Unavailable, codes.PermissionDenied: // with the environment its keys are gone
		return false, nil
	}
	return err == nil, err
}

// serves waits until a relay answers, or does not.
func (r *revocation) serves(limit time.Duration, what string, relay *relay, environment string, want bool) {
	r.Helper()
	bed.EventuallyWithin(r, limit, what, func() error {
		got, err := r.answers(relay, environment)
		if err == nil && got != want {
			err = fmt.Errorf("answers for %s: %v", environment, got)
		}
		return err
	})
}

// kept waits until something of an environment is on the relay's disk, or nothing.
func (r *revocation) kept(environment string, want bool) {
	r.Helper()
	bed.Eventually(r, fmt.Sprintf("%s is on disk: %v", environment, want), func() error {
		found := false
		err := filepath.WalkDir(r.state, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(path, environment) {
				var data []byte
				data, err = os.ReadFile(path)
				found = found || bytes.Contains(data, []byte(bulkKey))
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err == nil && found != want {
			err = fmt.Errorf("the flag is there: %v", found)
		}
		return err
	})
}

// denied is how long it may take until who is connected has lost what was revoked.
const denied = time.Second

// TestRevokedRelay takes one of two environments from a relay's key, and kills the relay at
// a random moment after: the relay and the one behind it lose that environment within a
// second, on disk too, and serve it no more over a restart without their upstream; the
// other goes on. Given back, it is served again. A key that is revoked as a whole leaves
// nothing; another one in its place brings all of it back.
func TestRevokedRelay(t *testing.T) {
	t.Parallel()
	r := newRevocation(t)
	both := func(when string) {
		t.Helper()
		r.serves(bed.Patience, "the environment is served "+when, r.edge, bed.Environment, true)
		r.serves(bed.Patience, "the other is served "+when, r.edge, other, true)
		r.serves(bed.Patience, "the relay behind serves "+when, r.behind, bed.Environment, true)
	}
	both("at first")
	r.kept(bed.Environment, true)

	// Connected.
	r.scope(other)
	committed := time.Now()
	r.serves(denied+slack, "the relay has lost it", r.edge, bed.Environment, false)
	near := time.Since(committed)
	r.serves(denied+slack, "the relay behind has lost it", r.behind, bed.Environment, false)
	t.Logf("denied after %v, one hop further after %v", near, time.Since(committed))
	r.kept(bed.Environment, false)
	r.offline()
	r.comeBack()
	both("when the key opens it again")

	// Killed in the middle.
	for range 3 {
		r.scope(other)
		time.Sleep(time.Duration(r.random.Int64N(int64(20 * time.Millisecond))))
		r.edge.Kill()
		r.edge.Launch()
		r.serves(bed.Patience, "the other is served after a kill", r.edge, other, true)
		r.serves(bed.Patience, "what was revoked is not, after a kill", r.edge, bed.Environment, false)
		r.serves(bed.Patience, "nor one hop further", r.behind, bed.Environment, false)
		r.kept(bed.Environment, false)
		r.comeBack()
		both("again, after a kill")
	}

	_, err := r.keys.RevokeKey(r.ctx, &controlv1.RevokeKeyRequest{KeyId: r.key.GetKey().GetId(), Reason: "chaos", RequestId: uuid.NewString()})
	r.must(err)
	for _, environment := range []string{bed.Environment, other} {
		r.serves(denied+slack, "all is lost", r.edge, environment, false)
		r.kept(environment, false)
	}
	_, secret := r.create("another", bed.Environment, other)
	r.must(os.WriteFile(r.file, []byte(secret+"\n"), 0o600))
	r.edge.Kill()
	r.edge.Start()
	r.behind.Kill()
	r.behind.Start()
	both("with another key")
	r.kept(bed.Environment, true)

	bed.Eventually(r, "all agree", func() error {
		_, err := bed.SameState(r.ctx, r.servers[0].GRPC, r.edge.GRPC)
		return err
	})
	r.check(streamlog.Now())
}

// offline demands that the relay, started without its upstream, has nothing of what was
// revoked, and all of the rest.
func (r *revocation) offline() {
	r.Helper()
	r.edge.Kill()
	r.edge.links[0].Refuse(true)
	r.edge.Launch()
	r.serves(bed.Patience, "the other is served from disk", r.edge, other, true)
	if got, err := r.answers(r.edge, bed.Environment); got || err != nil {
		r.Errorf("answers what was revoked from disk: %v, %v", got, err)
	}
	r.edge.heal()
}

// comeBack has the key open both again. Who was refused asks again after half a minute or
// more, or when it is started.
func (r *revocation) comeBack() {
	r.Helper()
	r.scope(bed.Environment, other)
	for _, relay := range []*relay{r.edge, r.behind} {
		relay.Kill()
		relay.Start()
	}
}

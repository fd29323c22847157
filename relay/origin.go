package relay

import (
	"context"
	"fmt"
	"strings"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/filesource"
	"github.com/tidegate/tidegate/internal/follower"
	rpcdial "github.com/tidegate/tidegate/internal/rpc/dial"
	"github.com/tidegate/tidegate/internal/tree"
)

// origin is where the snapshots come from.
type origin interface {
	// Run brings them into the replicas until ctx ends.
	Run(ctx context.Context) error
	// path are the instance ids from the store to this relay, itself last.
	path() []string
	// report says in /readyz how the origin is.
	report(to *readiness)
}

// openOrigin opens what the options name: upstreams or files. State from disk must have
// been restored. An upstream is told what is below.
func (r *Relay) openOrigin(ctx context.Context, o *Options, below *tree.Tree) (origin, error) {
	if len(o.Files) > 0 {
		return r.openFiles(ctx, o.Files)
	}
	fo := follower.Options{
		Upstreams: o.Upstreams, Environments: o.Environments, Replicas: r.replicas,
		InstanceID: r.instanceID, Region: o.Region, Version: r.version,
		Kind: syncv1.FollowerKind_FOLLOWER_KIND_RELAY, Below: below, DialOptions: o.DialOptions,
		Key:    rpcdial.Key(o.Key, o.KeyFile),
		Logger: r.logger, Registerer: r.registry, Previewer: r,
	}
	if r.state != nil {
		fo.Journal, fo.Epochs = r.state, r.state
	}
	r.streamLog.Follow(&fo)
	f, err := follower.New(fo)
	return upstreamOrigin{f}, err
}

// upstreamOrigin is a server or another relay.
type upstreamOrigin struct{ *follower.Follower }

func (o upstreamOrigin) path() []string { return o.State().Path }

func (o upstreamOrigin) report(to *readiness) {
	state := o.State()
	to.Upstream = &upstreamStatus{Connected: state.Connected, Address: state.Upstream}
	if state.Err != nil {
		to.Upstream.Error = state.Err.Error()
	}
}

// fileOrigin is files: the relay itself is the store, of one environment.
type fileOrigin struct {
	*filesource.Source
	paths []string
	self  []string // the path
}

func (r *Relay) openFiles(ctx context.Context, paths []string) (origin, error) {
	fo := filesource.Options{
		Paths: paths, Replica: r.replicas.Replica(r.evaluation.environments[0].name),
		Logger: r.logger, Registerer: r.registry,
	}
	if r.state != nil {
		fo.Journal = r.state
	}
	f, err := filesource.Open(ctx, fo)
	return fileOrigin{f, paths, []string{r.instanceID}}, err
}

func (o fileOrigin) path() []string { return o.self }

// maxReported bounds how many problems /readyz lists.
const maxReported = 20

func (o fileOrigin) report(to *readiness) {
	state := o.State()
	to.File = &fileStatus{Paths: o.paths, Files: state.Files}
	if state.Err == nil {
		return
	}
	problems := strings.Split(state.Err.Error(), "\n")
	if more := len(problems) - maxReported; more > 0 {
		problems = append(problems[:maxReported], fmt.Sprintf("and %d more", more))
	}
	to.File.Problems = problems
}

// Package etcdtest runs nodes of a real etcd cluster as processes, for tests that kill
// them: a test binary starts itself again as a node.
package etcdtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/internal/loopback"
)

const nodeEnv = "TIDEGATE_ETCDTEST_NODE"

// RunNodeIfAsked must be called first in TestMain: in a process that was started as a
// node it runs the node and does not return.
func RunNodeIfAsked() {
	spec := os.Getenv(nodeEnv)
	if spec == "" {
		return
	}
	if err := runNode(spec); err != nil {
		fmt.Fprintln(os.Stderr, "etcd node:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// nodeSpec is what a node's process is told.
type nodeSpec struct {
	Name, Dir string
	// ClientURL and PeerURL are listened on; AdvertisedPeerURL is where peers find it.
	ClientURL, PeerURL, AdvertisedPeerURL string
	InitialCluster                        string
	Quota                                 int64
}

func runNode(encoded string) error {
	var spec nodeSpec
	if err := json.Unmarshal([]byte(encoded), &spec); err != nil {
		return fmt.Errorf("%s: %w", nodeEnv, err)
	}
	var urls [3]url.URL
	for i, text := range []string{spec.ClientURL, spec.PeerURL, spec.AdvertisedPeerURL} {
		u, err := url.Parse(text)
		if err != nil {
			return err
		}
		urls[i] = *u
	}
	wal.SegmentSizeBytes = 4 << 20 // the default preallocates 64 MB for each node
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster, cfg.QuotaBackendBytes = spec.Name, spec.Dir, spec.InitialCluster, spec.Quota
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls[:1], urls[:1]
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls[1:2], urls[2:]
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	return <-e.Err()
}

// Options of a cluster.
type Options struct {
	// Dir is where the nodes keep their data, each in a folder of its own.
	Dir string
	// Places of the nodes, one each.
	Places []Place
	// Quota of a node's store in bytes; 0: etcd's default.
	Quota int64
}

// Place is where and how a node runs. The zero value: on loopback.
type Place struct {
	// Host is the address that it listens on, on etcd's usual ports. Default: 127.0.0.1,
	// on free ports.
	Host string
	// Front may put something between the node and its peers: it gets the address that the
	// node listens on for them, and returns the one that they use.
	Front func(listening string) (string, error)
	// Command makes the command that runs the node's process. Default: exec.Command.
	Command func(name string, args ...string) *exec.Cmd
}

// Cluster is some nodes.
type Cluster struct {
	Nodes []*Node
}

// Node is one process.
type Node struct {
	Endpoint string
	spec     nodeSpec
	command  func(name string, args ...string) *exec.Cmd
	cmd      *exec.Cmd
}

// Start starts a cluster of n nodes on loopback with its data below dir, and waits until
// it has a leader.
func Start(ctx context.Context, dir string, n int) (*Cluster, error) {
	return StartAt(ctx, Options{Dir: dir, Places: make([]Place, n)})
}

// StartAt starts a cluster, and waits until it has a leader.
func StartAt(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{}
	var initial []string
	for i, place := range o.Places {
		node, err := newNode(o, place, i)
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
		initial = append(initial, node.spec.Name+"="+node.spec.AdvertisedPeerURL)
	}
	for _, node := range c.Nodes {
		node.spec.InitialCluster = strings.Join(initial, ",")
		if err := node.Start(); err != nil {
			c.Kill()
			return nil, err
		}
	}
	if err := c.await(ctx); err != nil {
		c.Kill()
		return nil, err
	}
	return c, nil
}

func newNode(o Options, place Place, i int) (*Node, error) {
	client, peer := net.JoinHostPort(place.Host, "2379"), net.JoinHostPort(place.Host, "2380")
	if place.Host == "" {
		addrs, err := loopback.Addrs(2)
		if err != nil {
			return nil, err
		}
		client, peer = addrs[0], addrs[1]
	}
	advertised := peer
	if place.Front != nil {
		var err error
		if advertised, err = place.Front(peer); err != nil {
			return nil, err
		}
	}
	command := place.Command
	if command == nil {
		command = exec.Command
	}
	name := fmt.Sprintf("n%d", i)
	return &Node{Endpoint: client, command: command, spec: nodeSpec{
		Name: name, Dir: filepath.Join(o.Dir, name), Quota: o.Quota,
		ClientURL: "http://" + client, PeerURL: "http://" + peer, AdvertisedPeerURL: "http://" + advertised,
	}}, nil
}

// Start starts the node, for the first time or again on its data.
func (n *Node) Start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	spec, err := json.Marshal(n.spec)
	if err != nil {
		return err
	}
	cmd := n.command(self)
	cmd.Env = append(os.Environ(), nodeEnv+"="+string(spec))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	n.cmd = cmd
	return nil
}

// Member is what a node is to its cluster, and where its data is.
type Member struct{ Name, PeerURL, InitialCluster, Dir string }

// Member tells what 'etcdutl snapshot restore' has to be told.
func (n *Node) Member() Member {
	return Member{Name: n.spec.Name, PeerURL: n.spec.AdvertisedPeerURL, InitialCluster: n.spec.InitialCluster, Dir: n.spec.Dir}
}

// Signal sends a signal to the node's process.
func (n *Node) Signal(s os.Signal) error { return n.cmd.Process.Signal(s) }

// Kill ends the node with SIGKILL and waits for its end.
func (n *Node) Kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
}

// Kill ends every node.
func (c *Cluster) Kill() {
	for _, n := range c.Nodes {
		n.Kill()
	}
}

// Endpoints lists the nodes' client addresses.
func (c *Cluster) Endpoints() []string {
	out := make([]string, 0, len(c.Nodes))
	for _, n := range c.Nodes {
		out = append(out, n.Endpoint)
	}
	return out
}

func (c *Cluster) await(ctx context.Context) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := client.Get(attempt, "ready")
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("cluster has no leader: %w", err)
		}
	}
}

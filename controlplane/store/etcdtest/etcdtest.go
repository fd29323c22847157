// Package etcdtest runs nodes of a real etcd cluster as processes, for tests that kill
// them: a test binary starts itself again as a node.
package etcdtest

import (
	"context"
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
)

const nodeEnv = "TIDEGATE_ETCDTEST_NODE"

// RunNodeIfAsked must be called first in TestMain: in a process that was started as a
// node it runs the node and does not return.
func RunNodeIfAsked() {
	spec := os.Getenv(nodeEnv)
	if spec == "" {
		return
	}
	if err := runNode(strings.Split(spec, "|")); err != nil {
		fmt.Fprintln(os.Stderr, "etcd node:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runNode takes name, data directory, client URL, peer URL and the initial cluster.
func runNode(spec []string) error {
	if len(spec) != 5 {
		return fmt.Errorf("%s has %d fields, not 5", nodeEnv, len(spec))
	}
	client, err := url.Parse(spec[2])
	if err != nil {
		return err
	}
	peer, err := url.Parse(spec[3])
	if err != nil {
		return err
	}
	wal.SegmentSizeBytes = 4 << 20 // the default preallocates 64 MB for each node
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = spec[0], spec[1], spec[4]
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	return <-e.Err()
}

// Cluster is some nodes on loopback.
type Cluster struct {
	Nodes []*Node
}

// Node is one process.
type Node struct {
	Endpoint string
	spec     string
	cmd      *exec.Cmd
}

// Start starts a cluster of n nodes with its data below dir, and waits until it has a
// leader.
func Start(ctx context.Context, dir string, n int) (*Cluster, error) {
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	var initial []string
	for i := range n {
		initial = append(initial, fmt.Sprintf("n%d=http://127.0.0.1:%d", i, ports[2*i+1]))
	}
	c := &Cluster{}
	for i := range n {
		endpoint := fmt.Sprintf("127.0.0.1:%d", ports[2*i])
		c.Nodes = append(c.Nodes, &Node{Endpoint: endpoint, spec: strings.Join([]string{
			fmt.Sprintf("n%d", i), filepath.Join(dir, fmt.Sprintf("n%d", i)), "http://" + endpoint,
			fmt.Sprintf("http://127.0.0.1:%d", ports[2*i+1]), strings.Join(initial, ","),
		}, "|")})
	}
	for _, node := range c.Nodes {
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

// Start starts the node, for the first time or again on its data.
func (n *Node) Start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self) //nolint:gosec,noctx // this binary; it lives until Kill
	cmd.Env = append(os.Environ(), nodeEnv+"="+n.spec)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	n.cmd = cmd
	return nil
}

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

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

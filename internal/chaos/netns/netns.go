//go:build linux

// Package netns gives processes a network of their own: each in a network namespace,
// joined to the others by a pair of virtual interfaces and a bridge. Cables can be pulled,
// and one direction between two of them be cut. It needs root, and the program ip; nothing
// of it reaches a real network.
package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	// prefix begins the names of all that is made; the id of the process follows.
	prefix = "tg"
	// netnsDir is where ip keeps the names of namespaces.
	netnsDir = "/run/netns"
	// nowhere is a hardware address that nobody has.
	nowhere = "02:00:00:00:00:01"
	device  = "eth0" // in a namespace
)

// Available says why there can be no Network here; nil: there can.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("network namespaces need iproute2: %w", err)
	}
	return nil
}

// Network is a bridge and the nodes on it. This process reaches them, and they it, at
// Address.
type Network struct {
	Address string

	name   string // of the bridge
	subnet string // its first three numbers
	nodes  []*Node
}

// Node is one namespace. Its methods must not be called after Network.Close.
type Node struct {
	Address string

	network   *Network
	namespace string
	veth      string // its end on the bridge
}

var (
	making   sync.Mutex // of networks
	networks int
)

// New makes a network, having removed what processes that are gone have left behind. It
// must be closed.
func New() (*Network, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	making.Lock()
	defer making.Unlock()
	sweep()
	subnet, err := freeSubnet()
	if err != nil {
		return nil, err
	}
	networks++
	n := &Network{name: fmt.Sprintf("%s%d.%d", prefix, os.Getpid(), networks), subnet: subnet, Address: subnet + ".1"}
	err = errors.Join(
		ip("link", "add", n.name, "type", "bridge"),
		ip("addr", "add", n.Address+"/24", "dev", n.name),
		ip("link", "set", n.name, "up"),
	)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Add makes a node.
func (n *Network) Add() (*Node, error) {
	i := len(n.nodes)
	name := fmt.Sprintf("%s%c", n.name, 'a'+i)
	node := &Node{network: n, namespace: name, veth: name, Address: fmt.Sprintf("%s.%d", n.subnet, 11+i)}
	n.nodes = append(n.nodes, node)
	err := ip("netns", "add", name)
	if err == nil {
		err = ip("link", "add", node.veth, "type", "veth", "peer", "name", device, "netns", name)
	}
	if err == nil {
		err = errors.Join(
			ip("link", "set", node.veth, "master", n.name, "up"),
			ip("-n", name, "addr", "add", node.Address+"/24", "dev", device),
			ip("-n", name, "link", "set", device, "up"),
			ip("-n", name, "link", "set", "lo", "up"),
		)
	}
	if err != nil {
		return nil, fmt.Errorf("network node %d: %w", i, err)
	}
	return node, nil
}

// Close removes the network. The processes in it must have ended.
func (n *Network) Close() error {
	var errs []error
	for _, node := range n.nodes {
		errs = append(errs, ip("netns", "del", node.namespace))
	}
	return errors.Join(append(errs, ip("link", "del", n.name))...)
}

// Command makes a command that runs in the node.
func (n *Node) Command(name string, args ...string) *exec.Cmd {
	// ip becomes the program that it starts, so a signal reaches that.
	return exec.Command("ip", append([]string{"netns", "exec", n.namespace, name}, args...)...) //nolint:gosec,noctx // for tests, and it lives as long as they say
}

// Unplug pulls the node's cable: nothing comes, nothing goes.
func (n *Node) Unplug() error { return ip("link", "set", n.veth, "down") }

// Plug undoes Unplug.
func (n *Node) Plug() error { return ip("link", "set", n.veth, "up") }

// Mute cuts one direction: what this node sends to those addresses is lost; what they send
// arrives.
func (n *Node) Mute(addresses ...string) error {
	return n.neighbours(addresses, "replace", "lladdr", nowhere, "nud", "permanent")
}

// Unmute undoes Mute.
func (n *Node) Unmute(addresses ...string) error { return n.neighbours(addresses, "del") }

func (n *Node) neighbours(addresses []string, verb string, what ...string) (err error) {
	for _, a := range addresses {
		args := append([]string{"-n", n.namespace, "neigh", verb, a, "dev", device}, what...)
		err = errors.Join(err, ip(args...))
	}
	return err
}

// freeSubnet finds 256 addresses of the range that is meant for tests of networks.
func freeSubnet() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for i := range 256 {
		subnet := fmt.Sprintf("198.18.%d", (os.Getpid()+i)%256)
		taken := false
		for _, a := range addresses {
			taken = taken || strings.HasPrefix(a.String(), subnet+".")
		}
		if !taken {
			return subnet, nil
		}
	}
	return "", errors.New("no network of 198.18.0.0/16 is free")
}

// sweep removes what is left of processes that were killed. What cannot be removed stays.
func sweep() {
	gone := func(name string) bool {
		id, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), ".")
		pid, err := strconv.Atoi(id)
		return strings.HasPrefix(name, prefix) && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	namespaces, _ := filepath.Glob(filepath.Join(netnsDir, prefix+"*"))
	for _, path := range namespaces {
		if name := filepath.Base(path); gone(name) {
			_ = ip("netns", "del", name)
		}
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if gone(i.Name) {
			_ = ip("link", "del", i.Name)
		}
	}
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput() //nolint:gosec,noctx // returns at once
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

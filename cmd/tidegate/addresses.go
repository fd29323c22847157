package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// addressFlags are a command's flags that hold listening addresses, by flag name.
type addressFlags map[string]string

// addressesOf finds the flags by their names' end.
func addressesOf(flags *pflag.FlagSet) addressFlags {
	a := addressFlags{}
	flags.VisitAll(func(f *pflag.Flag) {
		if strings.HasSuffix(f.Name, "-addr") && f.Name != "advertise-addr" {
			a[f.Name] = f.Value.String()
		}
	})
	return a
}

// explain adds to the error of an address in use which flag changes it.
func (a addressFlags) explain(err error) error {
	var op *net.OpError
	if !errors.Is(err, syscall.EADDRINUSE) || !errors.As(err, &op) || op.Addr == nil {
		return err
	}
	for name, addr := range a {
		bound, resolveErr := net.ResolveTCPAddr("tcp", addr)
		if resolveErr == nil && bound.String() == op.Addr.String() {
			return fmt.Errorf("%s is in use by another process: stop that one, or pass another --%s", addr, name)
		}
	}
	return err
}

// reachable is where this machine reaches a listener: an address without a host (':7013')
// is bound to all of its addresses.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && net.ParseIP(host).IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

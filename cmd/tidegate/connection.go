package main

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/relay"
	"github.com/tidegate/tidegate/server"
)

// otherAddresses are those of gRPC that are no HOST:PORT, such as dns:///control:7013.
var otherAddresses = regexp.MustCompile(`^((dns|passthrough|xds):/|(unix|unix-abstract|ipv4|ipv6|vsock):)`)

// checkAddress refuses what is no address, and says what would be one.
func (o *clientOptions) checkAddress() error {
	name, usual := "--server", server.DefaultGRPCAddr
	if o.isRelay {
		name, usual = "--relay", relay.DefaultGRPCAddr
	}
	_, port, _ := net.SplitHostPort(usual)
	if o.address == "" {
		return usagef("the address is empty: pass HOST:PORT, such as %s", usual)
	}
	if otherAddresses.MatchString(o.address) {
		return nil
	}
	address, scheme, host := withoutUser(o.address)
	if scheme == "http" || scheme == "https" {
		host, _, _ = strings.Cut(host, "/")
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		if scheme == "https" {
			host += " --tls"
		}
		return usagef("%s %s: expected HOST:PORT and no URL, such as %s %s", name, address, name, host)
	}
	if address != o.address {
		return usagef("%s %s: expected HOST:PORT without a user or a password, such as %s", name, address, usual)
	}
	_, given, err := net.SplitHostPort(o.address)
	if err != nil {
		host := strings.Trim(o.address, "[]")
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return usagef("%s %s: expected HOST:PORT, such as %s", name, o.address, usual)
		}
		return usagef("%s %s: the port is missing, as in %s", name, o.address, net.JoinHostPort(host, port))
	}
	if n, err := strconv.ParseUint(given, 10, 16); err != nil || n == 0 {
		return usagef("%s %s: the port must be a number from 1 to 65535, such as %s", name, o.address, port)
	}
	return nil
}

// withoutUser cuts an address's user and password, which are not to be repeated; a password may hold
// any character.
func withoutUser(address string) (whole, scheme, rest string) {
	scheme, rest, isURL := strings.Cut(address, "://")
	if !isURL {
		scheme, rest = "", address
	}
	rest = rest[strings.LastIndex(rest, "@")+1:]
	if !isURL {
		return rest, "", rest
	}
	return scheme + "://" + rest, scheme, rest
}

// unconnected is why no connection came about, by what gRPC and Go say of it: nothing else tells.
// Nothing was sent then. lasting: to try again is no use.
type unconnected struct {
	sign    string
	lasting bool
	words   string // %s is the address
}

var unconnecteds = []unconnected{
	{"first record does not look like a TLS handshake", true, "%s does not speak TLS: leave out --tls and what begins with it, and unset $TIDEGATE_TLS and what begins with that"},
	{"certificate signed by unknown authority", true, "the certificate of %s is of an authority that is not trusted here: pass --tls-ca FILE with that authority"},
	{"certificate is valid for", true, "the certificate of %s is for another name"},
	{"certificate is not valid for any names", true, "the certificate of %s is for another name"},
	{"x509: cannot validate certificate", true, "the certificate of %s is for another name"},
	{"certificate has expired or is not yet valid", true, "the certificate of %s is not valid now"},
	{"remote error: tls:", true, "%s refuses the TLS connection, or the certificate of --tls-cert"},
	{"looked like an HTTP/1.1 header", true, "%s answers HTTP/1.1, and no gRPC: control servers listen on port 7013, relays on 8013"},
	{"error reading server preface", false, "%s took the connection, and ended it: if it has TLS, pass --tls, or --tls-ca FILE"},
	{"no such host", true, "no host is known by the name of %s: is it right?"},
	{"produced zero addresses", true, "no host is known by the name of %s: is it right?"},
	{"i/o timeout", false, "%s does not answer at all: is the address right, and does a firewall let it through?"},
	{"waiting for connections to become ready", false, "%s does not answer at all: is the address right, and does a firewall let it through?"},
}

// notConnected tells why no connection came about; nil: one did, or it is not known.
func notConnected(st *status.Status) *unconnected {
	message := st.Message()
	ours := strings.HasPrefix(message, "connection error:") || strings.HasPrefix(message, "name resolver error:") ||
		strings.Contains(message, "waiting for connections to become ready")
	if !ours || st.Code() != codes.Unavailable && st.Code() != codes.DeadlineExceeded {
		return nil
	}
	if strings.Contains(message, "connection refused") {
		return &unconnected{}
	}
	for _, u := range unconnecteds {
		if strings.Contains(message, u.sign) {
			return &u
		}
	}
	return nil
}

func (c *client) explainUnconnected(u *unconnected, st *status.Status) string {
	if u.words == "" {
		what := "server"
		if c.isRelay {
			what = "relay"
		}
		return fmt.Sprintf("no %s at %s: is it running? ('tidegate dev' starts everything)", what, c.address)
	}
	text := fmt.Sprintf(u.words, c.address)
	if _, detail, ok := strings.Cut(visible(st.Message()), "x509: "); ok {
		text += " (" + strings.TrimSuffix(detail, `"`) + ")"
	}
	return text
}

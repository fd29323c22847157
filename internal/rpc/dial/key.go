package dial

import (
	"context"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/accesskey"
)

// Key presents a key's secret with each call. It does so over connections without TLS too,
// where it can be read by whoever sees the traffic: whether that is so is up to how the
// connection is secured.
func Key(secret string) grpc.DialOption {
	return grpc.WithPerRPCCredentials(key(func() (string, error) { return secret, nil }))
}

// KeyFile is Key with the secret in a file, read with each call: so a key can be replaced
// while the process runs. A call fails while the file cannot be read, or holds no key.
func KeyFile(path string) grpc.DialOption {
	return grpc.WithPerRPCCredentials(key(func() (string, error) { return readKey(path) }))
}

func readKey(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("key file: %w", err)
	}
	secret := strings.TrimSpace(string(data))
	if _, err := accesskey.Parse(secret); err != nil {
		return "", fmt.Errorf("key file %s: %w", path, err)
	}
	return secret, nil
}

// key is where the secret comes from.
type key func() (string, error)

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (k key) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	secret, err := k()
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	return map[string]string{"authorization": "Bearer " + secret}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (key) RequireTransportSecurity() bool { return false }

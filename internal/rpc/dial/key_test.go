package dial

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/accesskey"
)

// TestKeyFile: each call presents what the file holds then, and fails while it holds no key.
func TestKeyFile(t *testing.T) {
	t.Parallel()
	var presented []string
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		presented = metadata.ValueFromIncomingContext(ctx, "authorization")
		return handler(ctx, r)
	}))
	healthv1.RegisterHealthServer(s, health.NewServer())
	go func() { _ = s.Serve(l) }() // ends with Stop
	defer s.Stop()
	file := filepath.Join(t.TempDir(), "key")
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), KeyFile(file))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func() error {
		presented = nil
		_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err
	}
	if err := call(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a file: %v", err)
	}
	for range 2 {
		secret, _ := accesskey.New()
		if err := os.WriteFile(file, []byte(" "+secret+"\n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := call(); err != nil || len(presented) != 1 || presented[0] != "Bearer "+secret {
			t.Errorf("%v; presented %d values", err, len(presented))
		}
		if err := os.WriteFile(file, []byte(secret[:59]), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := call(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), secret[17:59]) {
			t.Errorf("with half a key: %v", err)
		}
	}
}

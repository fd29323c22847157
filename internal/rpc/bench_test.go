package rpc

import (
	"context"
	"io"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
)

// BenchmarkInterceptors is what the chain adds to a unary call that nothing is logged of.
func BenchmarkInterceptors(b *testing.B) {
	s := NewServer(Options{Logger: zerolog.New(io.Discard).Level(zerolog.InfoLevel), Registerer: prometheus.NewRegistry()})
	defer s.GRPC.Stop()
	info := &grpc.UnaryServerInfo{FullMethod: evaluatePath}
	handler := func(_ context.Context, req any) (any, error) { return req, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.bridge.unary(context.Background(), nil, info, handler); err != nil {
			b.Fatal(err)
		}
	}
}

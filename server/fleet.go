package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/controlplane/fleet"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/rpc/dial"
)

// maxAnswer is far above what another server sends at once.
const maxAnswer = 64 << 20

type fleetService struct {
	controlv1.UnimplementedFleetServiceServer
	fleet     *fleet.Fleet
	previewer previewer
}

func (s fleetService) ListRelays(ctx context.Context, r *controlv1.ListRelaysRequest) (*controlv1.ListRelaysResponse, error) {
	return s.fleet.ListRelays(ctx, r)
}

func (s fleetService) WaitApplied(r *controlv1.WaitAppliedRequest, stream grpc.ServerStreamingServer[controlv1.WaitAppliedResponse]) error {
	return s.fleet.WaitApplied(stream.Context(), r, stream.Send)
}

func (s fleetService) ForgetRelay(ctx context.Context, r *controlv1.ForgetRelayRequest) (*controlv1.ForgetRelayResponse, error) {
	return s.fleet.ForgetRelay(ctx, r)
}

func (s fleetService) WatchRelays(r *controlv1.WatchRelaysRequest, stream grpc.ServerStreamingServer[controlv1.WatchRelaysResponse]) error {
	return s.fleet.WatchRelays(stream.Context(), r, stream.Send)
}

func (s fleetService) PreviewRelays(ctx context.Context, r *controlv1.PreviewRelaysRequest) (*controlv1.PreviewRelaysResponse, error) {
	return s.previewer.relays(ctx, r)
}

// askServer follows the relays of another server of the cluster. Its connection lives as
// long as the question.
func (s *Server) askServer(ctx context.Context, address string, r *controlv1.WatchRelaysRequest, take func(*controlv1.WatchRelaysResponse)) error {
	conn, err := grpc.NewClient(address, append(dial.Options(),
		grpc.WithTransportCredentials(s.peers),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))...)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := controlv1.NewFleetServiceClient(conn).WatchRelays(s.asServer(ctx), r)
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
		take(answer)
	}
}

// advertised is the address at which other servers reach this one: the given one, else
// the gRPC address, with the host's name where it is bound to all of the host's.
func advertised(given, grpcAddr string) (string, error) {
	if given != "" {
		return given, nil
	}
	host, port, err := net.SplitHostPort(grpcAddr)
	if err != nil {
		return "", err
	}
	if host != "" && !net.ParseIP(host).IsUnspecified() {
		return grpcAddr, nil
	}
	if host, err = os.Hostname(); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

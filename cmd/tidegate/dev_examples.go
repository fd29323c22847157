package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/tidegate/tidegate/examples"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/manifest"
	"github.com/tidegate/tidegate/internal/rpc"
	"github.com/tidegate/tidegate/internal/rpc/dial"
	"github.com/tidegate/tidegate/server"
)

// addExamples puts the example flags into every environment, if there is not one flag
// or segment yet.
func addExamples(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient(addr, append(dial.Options(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, rpc.ActorKey, "tidegate dev")

	there, err := controlv1.NewEnvironmentServiceClient(conn).ListEnvironments(ctx, &controlv1.ListEnvironmentsRequest{})
	if err != nil {
		return err
	}
	for _, e := range there.GetEnvironments() {
		if e.GetFlagCount()+e.GetSegmentCount() > 0 {
			return nil
		}
	}
	document, err := manifest.Parse("examples/flags.yaml", examples.Flags)
	if err != nil {
		return err
	}
	request := &controlv1.ApplyRequest{Reason: "example flags"}
	for _, f := range document.Flags {
		request.Flags = append(request.Flags, &controlv1.FlagWrite{Flag: f})
	}
	for _, s := range document.Segments {
		request.Segments = append(request.Segments, &controlv1.SegmentWrite{Segment: s})
	}
	for _, environment := range server.DefaultEnvironments() {
		request.Environment = environment
		if _, err := controlv1.NewFlagServiceClient(conn).Apply(ctx, request); err != nil {
			return fmt.Errorf("add the example flags to %s: %w", environment, err)
		}
	}
	return nil
}

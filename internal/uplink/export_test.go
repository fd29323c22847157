package uplink

import (
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
)

// Identify is identify.
var Identify = identify

// PlainCodec is gRPC's own.
func PlainCodec() encoding.CodecV2 { return encoding.GetCodecV2(grpcproto.Name) }

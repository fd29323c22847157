package rpc

import (
	"context"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/proto"
)

// jsonCodec is protobuf's JSON that takes no field it does not know: a misspelt name is
// an error, never a silent default.
type jsonCodec struct{ *connectproto.JSONCodec }

var _ connect.StableCodec = jsonCodec{}

func newJSONCodec() jsonCodec {
	c := connectproto.NewJSONCodec()
	c.UnmarshalOptions.DiscardUnknown = false
	return jsonCodec{c}
}

// UnmarshalRead reads one message.
func (c jsonCodec) UnmarshalRead(ctx context.Context, src io.Reader, msg any) error {
	failed := &readFailure{Reader: src}
	err := c.JSONCodec.UnmarshalRead(ctx, failed, msg)
	if err == nil || failed.err != nil {
		return err
	}
	name := "the request"
	if m, ok := msg.(proto.Message); ok {
		name = string(m.ProtoReflect().Descriptor().FullName())
	}
	// protojson varies its spaces on purpose, so that nobody relies on its text.
	text := strings.TrimSpace(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto:"))
	return fmt.Errorf("not a JSON %s: %s", name, text)
}

// readFailure tells a broken source from broken JSON: the transport must see the former
// as it is.
type readFailure struct {
	io.Reader
	err error
}

func (r *readFailure) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

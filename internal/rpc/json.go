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
// an error, never a silent default. Messages of flagd's protocols are read and written as
// flagd does: unknown fields are ignored, empty ones are written.
type jsonCodec struct {
	*connectproto.JSONCodec
	flagd *connectproto.JSONCodec
}

var _ connect.StableCodec = jsonCodec{}

func newJSONCodec() jsonCodec {
	c := connectproto.NewJSONCodec()
	c.UnmarshalOptions.DiscardUnknown = false
	flagd := connectproto.NewJSONCodec()
	flagd.UnmarshalOptions.DiscardUnknown = true
	flagd.MarshalOptions.EmitUnpopulated = true
	return jsonCodec{c, flagd}
}

// of is the codec for a message.
func (c jsonCodec) of(msg any) *connectproto.JSONCodec {
	m, ok := msg.(proto.Message)
	if ok && strings.HasPrefix(string(m.ProtoReflect().Descriptor().FullName()), "flagd.") {
		return c.flagd
	}
	return c.JSONCodec
}

// MarshalWrite writes one message.
func (c jsonCodec) MarshalWrite(ctx context.Context, dst io.Writer, msg any) error {
	return c.of(msg).MarshalWrite(ctx, dst, msg)
}

// MarshalWriteStable writes one message, the same always in the same way.
func (c jsonCodec) MarshalWriteStable(ctx context.Context, dst io.Writer, msg any) error {
	return c.of(msg).MarshalWriteStable(ctx, dst, msg)
}

// UnmarshalRead reads one message.
func (c jsonCodec) UnmarshalRead(ctx context.Context, src io.Reader, msg any) error {
	failed := &readFailure{Reader: src}
	err := c.of(msg).UnmarshalRead(ctx, failed, msg)
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

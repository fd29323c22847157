package uplink

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
	"github.com/tidegate/tidegate/internal/spool"
)

// batchField of PushRequest.
const batchField = 1

// senderKey names a sender: one boot of one instance.
type senderKey struct{ instance, boot string }

func keyOf(s *telemetryv1.Sender) senderKey { return senderKey{s.GetInstanceId(), s.GetBootId()} }

// message is a PushRequest on its way up, encoded. It implements rpc.Encoded.
type message struct {
	wire     mem.BufferSlice
	sender   senderKey
	sequence uint64
	// child that it came from; nil: it is this process's own.
	child *child
	// refusal is why it is not passed on; empty: it is.
	refusal string
}

// Wire implements rpc.Encoded.
func (m *message) Wire() mem.BufferSlice { return m.wire }

// ProtoReflect is for codecs that do not know of encoded messages. What was encoded here, or
// looked through, can be decoded.
func (m *message) ProtoReflect() protoreflect.Message {
	decoded := &telemetryv1.PushRequest{}
	_ = proto.Unmarshal(m.wire.Materialize(), decoded)
	return decoded.ProtoReflect()
}

// ownMessage wraps what comes from the spool.
func ownMessage(o spool.Outgoing) *message {
	head := protowire.AppendTag(nil, batchField, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(o.Batch[0])+len(o.Batch[1])))
	return &message{
		wire:     mem.BufferSlice{mem.SliceBuffer(head), mem.SliceBuffer(o.Batch[0]), mem.SliceBuffer(o.Batch[1])},
		sender:   senderKey{o.InstanceID, o.BootID},
		sequence: o.Sequence,
	}
}

// newMessage wraps what came from below.
func newMessage(wire []byte, sender *telemetryv1.Sender) *message {
	return &message{wire: mem.BufferSlice{mem.SliceBuffer(wire)}, sender: keyOf(sender), sequence: sender.GetSequence()}
}

// request is a PushRequest as it came. It implements rpc.Decoder: what is passed on is not
// encoded anew on the way.
type request struct {
	wire    []byte
	decoded *telemetryv1.PushRequest // by a codec that does not know of decoders
}

// DecodeWire takes the message.
func (r *request) DecodeWire(data mem.BufferSlice) error {
	r.wire = data.Materialize()
	return nil
}

// ProtoReflect is for other codecs.
func (r *request) ProtoReflect() protoreflect.Message {
	if r.decoded == nil {
		r.decoded = &telemetryv1.PushRequest{}
	}
	return r.decoded.ProtoReflect()
}

// bytes is the request, encoded.
func (r *request) bytes() ([]byte, error) {
	if r.decoded != nil {
		return proto.Marshal(r.decoded)
	}
	return r.wire, nil
}

// identify says whose batch a request carries, and of which environment. Errors are
// statuses.
func identify(wire []byte) (environment string, sender *telemetryv1.Sender, err error) {
	var batch []byte
	for rest := wire; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return "", nil, status.Errorf(codes.InvalidArgument, "push request: %v", protowire.ParseError(n))
		}
		rest = rest[n:]
		if n = protowire.ConsumeFieldValue(number, kind, rest); n < 0 {
			return "", nil, status.Errorf(codes.InvalidArgument, "push request: %v", protowire.ParseError(n))
		}
		if number == batchField && kind == protowire.BytesType {
			if batch != nil {
				return "", nil, status.Error(codes.InvalidArgument, "push request: want one batch")
			}
			batch, _ = protowire.ConsumeBytes(rest)
		}
		rest = rest[n:]
	}
	environment, sender, err = spool.Identify(batch)
	if err != nil {
		return "", nil, status.Errorf(codes.InvalidArgument, "push request: %v", err)
	}
	return environment, sender, checkSender(sender)
}

// checkSender is as strict as whoever counts: there, a batch that cannot be answered ends the
// stream that all others come on, too.
func checkSender(s *telemetryv1.Sender) error {
	if err := batchcheck.Sender(s); err != nil {
		return status.Errorf(codes.InvalidArgument, "batch: sender: %v", err)
	}
	return nil
}

// unreadable says why a request cannot be decoded further up, which would end the stream there;
// empty: it can.
func unreadable(wire []byte) string {
	if err := proto.Unmarshal(wire, &telemetryv1.PushRequest{}); err != nil {
		return fmt.Sprintf("it cannot be decoded: %v", err)
	}
	return ""
}

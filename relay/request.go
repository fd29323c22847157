package relay

import (
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// call is a request as the direct methods have it: read in place, without the messages
// that generated code would make of it. Its strings and attributes are its own bytes,
// which the next request overwrites: nothing of it may be kept.
type call struct {
	data []byte

	id                           uint64 // in a stream
	environment, flagKey, prefix string
	keys                         []string
	targetingKey                 string
	attributes                   eval.Attributes // nil: none
	expected                     flagv1.ValueType
	minRevision                  int64
	maxAge                       *durationpb.Duration // nil: none
	policy                       evaluationv1.StalePolicy

	// What attributes and maxAge point to, if they were read in place.
	fields   fields
	duration durationpb.Duration
}

// What a call keeps for the next one, at most.
const (
	keepBytes  = 16 << 10
	keepFields = 64
	keepKeys   = 256
)

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall() *call { return calls.Get().(*call) }

// Free gives the call back.
func (c *call) Free() {
	c.reset()
	c.data = c.data[:0]
	if cap(c.data) > keepBytes {
		c.data = nil
	}
	calls.Put(c)
}

// reset makes c the empty request; the bytes stay.
func (c *call) reset() {
	clear(c.keys)
	clear(c.fields)
	if cap(c.keys) > keepKeys {
		c.keys = nil
	}
	if cap(c.fields) > keepFields {
		c.fields = nil
	}
	c.id, c.environment, c.flagKey, c.prefix, c.keys = 0, "", "", "", c.keys[:0]
	c.targetingKey, c.attributes, c.fields = "", nil, c.fields[:0]
	c.expected, c.minRevision, c.maxAge, c.policy = 0, 0, nil, 0
}

// take copies what came over the wire, which is the transport's.
func (c *call) take(data mem.BufferSlice) {
	c.reset()
	c.data = c.data[:0]
	for _, b := range data {
		c.data = append(c.data, b.ReadOnlyData()...)
	}
}

// GetEnvironment and its like are what the generated requests have too.
func (c *call) GetEnvironment() string { return c.environment }

// GetFlagKey is of an EvaluateRequest.
func (c *call) GetFlagKey() string { return c.flagKey }

// GetExpectedType is of an EvaluateRequest.
func (c *call) GetExpectedType() flagv1.ValueType { return c.expected }

// GetFlagKeys is of an EvaluateAllRequest.
func (c *call) GetFlagKeys() []string { return c.keys }

// GetKeyPrefix is of an EvaluateAllRequest.
func (c *call) GetKeyPrefix() string { return c.prefix }

// GetMinRevision is of both.
func (c *call) GetMinRevision() int64 { return c.minRevision }

// GetMaxAge is of both.
func (c *call) GetMaxAge() *durationpb.Duration { return c.maxAge }

// GetStalePolicy is of both.
func (c *call) GetStalePolicy() evaluationv1.StalePolicy { return c.policy }

// subject makes the engine's context, for as long as c is in use.
func (c *call) subject() eval.Context {
	return eval.Context{TargetingKey: c.targetingKey, Attributes: c.attributes}
}

// Attribute implements eval.Attributes.
func (c *call) Attribute(name string) eval.Value { return c.fields.Attribute(name) }

// Empty implements eval.Object.
func (c *call) Empty() bool { return c.fields.Empty() }

// Names implements eval.Object, but that a name may come twice: the last one counts.
func (c *call) Names() []string { return c.fields.Names() }

// The requests, as [rpc.Direct] decodes them: what is not in the usual form, and what is
// wrong, is left to the generated code.
type (
	evaluateCall    struct{ *call }
	evaluateAllCall struct{ *call }
	streamCall      struct{ *call }
)

// DecodeWire implements rpc.Decoder.
func (c evaluateCall) DecodeWire(data mem.BufferSlice) error {
	c.take(data)
	if c.readEvaluate(reader{rest: c.data}) {
		return nil
	}
	var r evaluationv1.EvaluateRequest
	if err := proto.Unmarshal(c.data, &r); err != nil {
		return err
	}
	c.reset()
	c.load(&r)
	return nil
}

// DecodeWire implements rpc.Decoder.
func (c evaluateAllCall) DecodeWire(data mem.BufferSlice) error {
	c.take(data)
	if c.readEvaluateAll(reader{rest: c.data}) {
		return nil
	}
	var r evaluationv1.EvaluateAllRequest
	if err := proto.Unmarshal(c.data, &r); err != nil {
		return err
	}
	c.reset()
	c.environment, c.prefix = r.GetEnvironment(), r.GetKeyPrefix()
	c.keys = append(c.keys, r.GetFlagKeys()...)
	c.loadContext(r.GetContext())
	c.minRevision, c.maxAge, c.policy = r.GetMinRevision(), r.GetMaxAge(), r.GetStalePolicy()
	return nil
}

// DecodeWire implements rpc.Decoder.
func (c streamCall) DecodeWire(data mem.BufferSlice) error {
	c.take(data)
	if c.readStream(reader{rest: c.data}) {
		return nil
	}
	var r evaluationv1.EvaluateStreamRequest
	if err := proto.Unmarshal(c.data, &r); err != nil {
		return err
	}
	c.reset()
	c.load(r.GetRequest())
	c.id = r.GetId()
	return nil
}

// load fills in what the generated code has read.
func (c *call) load(r *evaluationv1.EvaluateRequest) {
	c.environment, c.flagKey, c.expected = r.GetEnvironment(), r.GetFlagKey(), r.GetExpectedType()
	c.loadContext(r.GetContext())
	c.minRevision, c.maxAge, c.policy = r.GetMinRevision(), r.GetMaxAge(), r.GetStalePolicy()
}

func (c *call) loadContext(p *evaluationv1.EvaluationContext) {
	c.targetingKey, c.attributes = p.GetTargetingKey(), eval.StructAttributes(p.GetAttributes())
}

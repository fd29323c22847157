package preview

import (
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

const (
	// maxContext is the largest context that is kept, in bytes.
	maxContext = 64 << 10
	// What things take beside their data, in bytes, generously.
	contextBytes = 160
	placeBytes   = 32
	flagBytes    = 512
)

// Memory is what samples may take, of all environments together. Contexts that are the same
// are kept once: subjects with low hashes are in the samples of all flags.
type Memory struct {
	limit int64
	used  atomic.Int64
	// refused counts what did not fit.
	refused atomic.Uint64

	mu       sync.Mutex
	contexts map[string]*kept // by their data
}

// NewMemory bounds the memory of samples.
func NewMemory(bytes int64) *Memory {
	return &Memory{limit: bytes, contexts: map[string]*kept{}}
}

// Used is how many bytes are taken, about.
func (m *Memory) Used() int64 { return m.used.Load() }

// Refused is how often something did not fit.
func (m *Memory) Refused() uint64 { return m.refused.Load() }

// take takes memory, if there is any left.
func (m *Memory) take(bytes int64) bool {
	if m.used.Add(bytes) <= m.limit {
		return true
	}
	m.used.Add(-bytes)
	return false
}

// kept is an evaluation context that is kept.
type kept struct {
	data string
	uses int // guarded by Memory.mu
}

// encode copies a context; empty: it cannot be kept.
func encode(c *eval.Context) string {
	attributes, ok := c.Struct()
	if !ok {
		return ""
	}
	// Deterministic, so that contexts that are the same have the same bytes.
	m := &evaluationv1.EvaluationContext{TargetingKey: strings.Clone(c.TargetingKey), Attributes: attributes}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil || len(data) > maxContext {
		return ""
	}
	return string(data)
}

// decode is the context as it was, but for where and when.
func (c *kept) decode() (eval.Context, error) {
	m := &evaluationv1.EvaluationContext{}
	if err := proto.Unmarshal([]byte(c.data), m); err != nil {
		return eval.Context{}, err
	}
	return eval.Context{TargetingKey: m.GetTargetingKey(), Attributes: eval.StructAttributes(m.GetAttributes())}, nil
}

// keep keeps a context in one more place; false: there is no room. A context that cannot be
// kept, of no data, takes a place too, lest it is looked at with every answer.
func (m *Memory) keep(data string) (*kept, bool) {
	if !m.take(placeBytes) {
		return nil, false
	}
	if data == "" {
		return nil, true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.contexts[data]
	if c == nil {
		if !m.take(int64(len(data)) + contextBytes) {
			m.used.Add(-placeBytes)
			return nil, false
		}
		c = &kept{data: data}
		m.contexts[data] = c
	}
	c.uses++
	return c, true
}

// release gives places back.
func (m *Memory) release(contexts []*kept) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range contexts {
		m.used.Add(-placeBytes)
		if c == nil {
			continue
		}
		if c.uses--; c.uses == 0 {
			delete(m.contexts, c.data)
			m.used.Add(-int64(len(c.data)) - contextBytes)
		}
	}
}

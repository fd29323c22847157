package relay

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/preview"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
)

// usual is a flag with a rule by e-mail suffix and a split.
func usual(key string) *flagv1.Flag {
	f := boolFlag(key)
	f.Rules = []*flagv1.Rule{{Id: "staff", Outcome: serve("on"), Clauses: []*flagv1.Clause{{
		Attribute: "email", Operator: flagv1.Operator_OPERATOR_ENDS_WITH,
		Values: []*structpb.Value{structpb.NewStringValue("@mycompany.com")},
	}}}}
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
		Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}, {Variant: "off", Weight: 99}},
	}}}
	return f
}

// usualService has n such flags, and a context with five attributes.
func usualService(b *testing.B, n int) (*evaluationService, *evaluationv1.EvaluationContext) {
	p := newPublisher(b, production)
	var flags []proto.Message
	for i := range n {
		flags = append(flags, usual(fmt.Sprintf("flag-%04d", i)))
	}
	p.put(production, flags...)
	attributes, err := structpb.NewStruct(map[string]any{
		"email": "ada.lovelace@example.com", "country": "Canada", "plan": "enterprise", "device": "ios", "version": "12.4.1",
	})
	if err != nil {
		b.Fatal(err)
	}
	return service(p), &evaluationv1.EvaluationContext{TargetingKey: "user-0123456789", Attributes: attributes}
}

// counting makes the service count: the flag of a rollout, and others.
func counting(b *testing.B, s *evaluationService, rollouts ...string) {
	b.Helper()
	env := s.environments[0]
	counts, err := tally.New(tally.Options{Environment: env.name})
	if err != nil {
		b.Fatal(err)
	}
	snap := env.replica.Snapshot()
	var puts []snapshot.Item
	for _, flag := range rollouts {
		f := usual(flag)
		f.DefaultOutcome = rollingFlag(flag, 100).GetDefaultOutcome()
		puts = append(puts, item(b, f, snap.Cursor().Revision+1), item(b, rolloutAt(flag, 1, 100), snap.Cursor().Revision+1))
	}
	next, d := snap.Next(snap.Cursor().Revision+1, puts, nil)
	if err := counts.Apply(next, time.Now()); err != nil {
		b.Fatal(err)
	}
	if err := env.replica.Publish(next, d); err != nil {
		b.Fatal(err)
	}
	env.counts = counts
}

// sampling makes the service sample subjects, and has it seen some.
func sampling(s *evaluationService, flag string) {
	env := s.environments[0]
	if env.subjects == nil {
		env.subjects = preview.New(env.name, preview.NewMemory(DefaultPreviewBytes), time.Now())
	}
	for i := range 1000 {
		env.subjects.Saw(env.replica.Snapshot().Eval().Flag(flag), &eval.Context{TargetingKey: fmt.Sprintf("user-%d", i)})
	}
}

// BenchmarkSaw is what sampling adds to an answer, whether its subject is in the sample or not.
func BenchmarkSaw(b *testing.B) {
	s, _ := usualService(b, 1)
	sampling(s, "flag-0000")
	env := s.environments[0]
	f := env.replica.Snapshot().Eval().Flag("flag-0000")
	for i, done := 0, map[bool]bool{}; len(done) < 2; i++ {
		subject := &eval.Context{TargetingKey: fmt.Sprintf("user-%d", i)}
		in := f.WantsSample(env.subjects.Subject(subject).Hash())
		if done[in] {
			continue
		}
		done[in] = true
		b.Run(map[bool]string{true: "in", false: "out"}[in], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				env.subjects.Saw(f, subject)
			}
		})
	}
}

// BenchmarkEvaluate is a request from its bytes to those of its reply; counted, with the
// telemetry of it.
func BenchmarkEvaluate(b *testing.B) {
	s, subject := usualService(b, 1000)
	data := mem.BufferSlice{mem.SliceBuffer(marshal(b, &evaluationv1.EvaluateRequest{FlagKey: "flag-0500", Context: subject}))}
	b.Run("direct", func(b *testing.B) {
		c, now := evaluateCall{new(call)}, time.Now()
		b.ReportAllocs()
		for b.Loop() {
			if err := c.DecodeWire(data); err != nil {
				b.Fatal(err)
			}
			if _, err := s.evaluateDirect(b.Context(), c, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("counted", func(b *testing.B) {
		s, _ := usualService(b, 1000)
		counting(b, s, "flag-0500")
		c, now := evaluateCall{new(call)}, time.Now()
		b.ReportAllocs()
		for b.Loop() {
			if err := c.DecodeWire(data); err != nil {
				b.Fatal(err)
			}
			if _, err := s.evaluateDirect(b.Context(), c, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sampled", func(b *testing.B) {
		s, _ := usualService(b, 1000)
		counting(b, s, "flag-0500")
		sampling(s, "flag-0500")
		c, now := evaluateCall{new(call)}, time.Now()
		b.ReportAllocs()
		for b.Loop() {
			if err := c.DecodeWire(data); err != nil {
				b.Fatal(err)
			}
			if _, err := s.evaluateDirect(b.Context(), c, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var r evaluationv1.EvaluateRequest
			if err := proto.Unmarshal(data[0].ReadOnlyData(), &r); err != nil {
				b.Fatal(err)
			}
			a, err := s.Evaluate(b.Context(), &r)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := proto.Marshal(a); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEvaluateAll is the same for a thousand flags, ns a flag; sampled, with the subject
// looked at for the samples of all of them.
func BenchmarkEvaluateAll(b *testing.B) {
	const flags = 1000
	s, subject := usualService(b, flags)
	b.Run("plain", func(b *testing.B) { benchmarkAll(b, s, subject, flags) })
	b.Run("sampled", func(b *testing.B) {
		for i := range flags {
			sampling(s, fmt.Sprintf("flag-%04d", i))
		}
		benchmarkAll(b, s, subject, flags)
	})
}

func benchmarkAll(b *testing.B, s *evaluationService, subject *evaluationv1.EvaluationContext, flags int) {
	data := mem.BufferSlice{mem.SliceBuffer(marshal(b, &evaluationv1.EvaluateAllRequest{Context: subject}))}
	c, now := evaluateAllCall{new(call)}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.DecodeWire(data); err != nil {
			b.Fatal(err)
		}
		reply, err := s.evaluateAllDirect(b.Context(), c, now)
		if err != nil {
			b.Fatal(err)
		}
		reply.Buffers().Free()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(flags), "ns/flag")
}

package relay

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/rpc"
)

// register adds the service to the server. Over gRPC, what is called most goes the direct
// way: the same evaluation between a request that is read in place and a reply that is
// appended, see docs/adr/0014-direct-methods.md.
func (s *evaluationService) register(server *rpc.Server) {
	server.RegisterDirect(&evaluationv1.EvaluationService_ServiceDesc, s,
		map[string]grpc.MethodHandler{
			"Evaluate":    rpc.Direct(server, evaluationv1.EvaluationService_Evaluate_FullMethodName, newEvaluateCall, s.evaluateDirect),
			"EvaluateAll": rpc.Direct(server, evaluationv1.EvaluationService_EvaluateAll_FullMethodName, newEvaluateAllCall, s.evaluateAllDirect),
		},
		map[string]grpc.StreamHandler{"EvaluateStream": s.evaluateStreamDirect},
	)
}

func newEvaluateCall() evaluateCall       { return evaluateCall{newCall()} }
func newEvaluateAllCall() evaluateAllCall { return evaluateAllCall{newCall()} }

// evaluateDirect is Evaluate.
func (s *evaluationService) evaluateDirect(ctx context.Context, c evaluateCall, now time.Time) (*rpc.Reply, error) {
	who := credentialOf(ctx)
	reply := new(rpc.Reply)
	b, err := s.appendEvaluation(reply.Room(), c.call, &who, now)
	if err != nil {
		return nil, err
	}
	reply.Set(b)
	return reply, nil
}

// appendEvaluation appends the EvaluateResponse for a call, or fails as Evaluate does.
func (s *evaluationService) appendEvaluation(b []byte, c *call, who *credential, now time.Time) ([]byte, error) {
	subject := c.subject()
	s.here(&subject, now)
	src, result, err := s.result(c, &subject, who, now)
	if err != nil {
		return b, err
	}
	src.env.answers.add(string(src.reason(result)))
	src.env.exposed(&result, &subject)
	return src.appendAnswer(b, c.flagKey, &result, src.moment()), nil
}

// evaluateAllDirect is EvaluateAll.
func (s *evaluationService) evaluateAllDirect(ctx context.Context, c evaluateAllCall, now time.Time) (*rpc.Reply, error) {
	chosen, err := selectionOf(c)
	if err != nil {
		return nil, err
	}
	who := credentialOf(ctx)
	src, err := s.source(c.environment, c, &who, now)
	if err != nil {
		return nil, err
	}
	subject := c.subject()
	s.here(&subject, now)
	var p pieces
	err = src.each(ctx, chosen, &subject, func(key string, r eval.Result) {
		b, at := begin(p.next(), 1)
		p.open = end(src.appendAnswer(b, key, &r, moment{}), at)
	})
	if err != nil {
		return nil, err
	}
	p.open = appendMoment(p.next(), 2, src.moment())
	p.close()
	reply := new(rpc.Reply)
	reply.SetLarge(p.full)
	return reply, nil
}

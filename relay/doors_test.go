package relay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// What a door is for.
const (
	forEvaluation = "evaluation"
	forFollowers  = "followers"
)

// door is one way to ask a relay for something. ask returns what is told first.
type door struct {
	name, use string
	// lasts: it tells more as things change.
	lasts bool
	ask   func(v *visit) (string, error)
}

// visit is one call, of flag, in production.
type visit struct {
	t    *testing.T
	ctx  context.Context
	r    *Relay
	conn *grpc.ClientConn
	// authorization are values of the header.
	authorization []string
	flag          string
	// next, which ask sets where the call lasts, waits for what is told next.
	next func() (string, error)
}

// told is a message as text, or the error.
func told[M proto.Message](m M, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return protojson.MarshalOptions{}.Format(m), nil
}

// receive makes what a stream tells of it.
func receive[M proto.Message](v *visit, recv func() (M, error), err error) (string, error) {
	if err != nil {
		return "", err
	}
	v.next = func() (string, error) { return told(recv()) }
	return v.next()
}

// doors are all ways to a relay's flags, and to what is told of them.
func doors() []door {
	return []door{
		{name: "Evaluate", use: forEvaluation, ask: func(v *visit) (string, error) {
			return told(evaluationv1.NewEvaluationServiceClient(v.conn).Evaluate(v.ctx, &evaluationv1.EvaluateRequest{FlagKey: v.flag, Context: canada(v.t)}))
		}},
		{name: "EvaluateAll", use: forEvaluation, ask: func(v *visit) (string, error) {
			return told(evaluationv1.NewEvaluationServiceClient(v.conn).EvaluateAll(v.ctx, &evaluationv1.EvaluateAllRequest{Context: canada(v.t)}))
		}},
		{name: "EvaluateStream", use: forEvaluation, ask: askStream},
		{name: "Watch", use: forEvaluation, lasts: true, ask: func(v *visit) (string, error) {
			s, err := evaluationv1.NewEvaluationServiceClient(v.conn).Watch(v.ctx, &evaluationv1.WatchRequest{Context: canada(v.t)})
			return receive(v, s.Recv, err)
		}},
		{name: "flagd v1 resolve", use: forEvaluation, ask: func(v *visit) (string, error) {
			return told(flagdv1.NewServiceClient(v.conn).ResolveBoolean(v.ctx, &flagdv1.ResolveBooleanRequest{FlagKey: v.flag, Context: canada(v.t).GetAttributes()}))
		}},
		{name: "flagd v1 all", use: forEvaluation, ask: func(v *visit) (string, error) {
			return told(flagdv1.NewServiceClient(v.conn).ResolveAll(v.ctx, &flagdv1.ResolveAllRequest{Context: canada(v.t).GetAttributes()}))
		}},
		{name: "flagd v2 resolve", use: forEvaluation, ask: func(v *visit) (string, error) {
			return told(flagdv2.NewServiceClient(v.conn).ResolveBoolean(v.ctx, &flagdv2.ResolveBooleanRequest{FlagKey: v.flag, Context: canada(v.t).GetAttributes()}))
		}},
		{name: "flagd v1 events", use: forEvaluation, lasts: true, ask: func(v *visit) (string, error) {
			s, err := flagdv1.NewServiceClient(v.conn).EventStream(v.ctx, &flagdv1.EventStreamRequest{})
			return receive(v, s.Recv, err)
		}},
		{name: "flagd v2 events", use: forEvaluation, lasts: true, ask: func(v *visit) (string, error) {
			s, err := flagdv2.NewServiceClient(v.conn).EventStream(v.ctx, &flagdv2.EventStreamRequest{})
			return receive(v, s.Recv, err)
		}},
		{name: "flagd sync", use: forFollowers, lasts: true, ask: func(v *visit) (string, error) {
			s, err := flagdsyncv1.NewFlagSyncServiceClient(v.conn).SyncFlags(v.ctx, &flagdsyncv1.SyncFlagsRequest{})
			return receive(v, s.Recv, err)
		}},
		{name: "flagd fetch", use: forFollowers, ask: func(v *visit) (string, error) {
			return told(flagdsyncv1.NewFlagSyncServiceClient(v.conn).FetchAllFlags(v.ctx, &flagdsyncv1.FetchAllFlagsRequest{}))
		}},
		{name: "flagd metadata", use: forFollowers, ask: func(v *visit) (string, error) {
			return told(flagdsyncv1.NewFlagSyncServiceClient(v.conn).GetMetadata(v.ctx, &flagdsyncv1.GetMetadataRequest{})) //nolint:staticcheck // providers still call it
		}},
		{name: "sync", use: forFollowers, lasts: true, ask: askSync},
		{name: "OFREP one", use: forEvaluation, ask: func(v *visit) (string, error) { return v.post(ofrepFlagsPath+"/"+v.flag, ofrepCanada) }},
		{name: "OFREP all", use: forEvaluation, ask: func(v *visit) (string, error) { return v.post(ofrepFlagsPath, ofrepCanada) }},
		{name: "OFREP events", use: forEvaluation, lasts: true, ask: askEvents},
		{name: "JSON", use: forEvaluation, ask: func(v *visit) (string, error) {
			return v.post(evaluationv1.EvaluationService_Evaluate_FullMethodName, `{"flagKey":"`+v.flag+`","context":{"attributes":{"country":"Canada"}}}`)
		}},
		{name: "JSON all", use: forEvaluation, ask: func(v *visit) (string, error) {
			return v.post(evaluationv1.EvaluationService_EvaluateAll_FullMethodName, `{"context":{"attributes":{"country":"Canada"}}}`)
		}},
		{name: "flagd JSON", use: forEvaluation, ask: func(v *visit) (string, error) {
			return v.post(flagdv1.Service_ResolveBoolean_FullMethodName, `{"flagKey":"`+v.flag+`","context":{"country":"Canada"}}`)
		}},
		{name: "Track", use: forEvaluation, ask: func(v *visit) (string, error) {
			return told(telemetryv1.NewTelemetryServiceClient(v.conn).Track(v.ctx, &telemetryv1.TrackRequest{}))
		}},
		{name: "OTLP", use: forEvaluation, ask: func(v *visit) (string, error) {
			return told(collectorv1.NewMetricsServiceClient(v.conn).Export(v.ctx, &collectorv1.ExportMetricsServiceRequest{}))
		}},
		{name: "Report", use: forFollowers, ask: func(v *visit) (string, error) {
			return told(telemetryv1.NewTelemetryServiceClient(v.conn).Report(v.ctx, &telemetryv1.ReportRequest{
				Sender: &telemetryv1.Sender{InstanceId: "i", BootId: v.t.Name(), Sequence: 1},
			}))
		}},
	}
}

const ofrepCanada = `{"context":{"country":"Canada"}}`

func askStream(v *visit) (string, error) {
	s, err := evaluationv1.NewEvaluationServiceClient(v.conn).EvaluateStream(v.ctx)
	if err != nil {
		return "", err
	}
	v.next = func() (string, error) {
		if err := s.Send(&evaluationv1.EvaluateStreamRequest{Id: 1, Request: &evaluationv1.EvaluateRequest{FlagKey: v.flag, Context: canada(v.t)}}); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		} // of one that has ended, Recv tells why
		m, err := s.Recv()
		if e := m.GetError(); e != nil {
			return "", status.Error(codes.Code(e.GetCode()), e.GetMessage())
		}
		return told(m.GetResponse(), err)
	}
	return v.next()
}

// askSync says hello, and returns the first change.
func askSync(v *visit) (string, error) {
	s, err := syncv1.NewSyncServiceClient(v.conn).Stream(v.ctx)
	if err != nil {
		return "", err
	}
	_ = s.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{ // what it fails with, Recv tells
		Protocol: 1, InstanceId: "f", BootId: "b", Path: []string{"f"}, Scopes: []*syncv1.Scope{{Environment: production}},
	}}})
	v.next = func() (string, error) {
		for {
			m, err := s.Recv()
			switch {
			case err != nil:
				return "", err
			case m.GetGoodbye() != nil:
				return "", status.Error(codes.PermissionDenied, m.GetGoodbye().GetMessage())
			case m.GetUpdate() != nil:
				return told(m, nil)
			}
		}
	}
	return v.next()
}

// request makes one over HTTP.
func (v *visit) request(method, path, body string) *http.Request {
	v.t.Helper()
	q, err := http.NewRequestWithContext(v.ctx, method, "http://"+v.r.HTTPAddr()+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header["Authorization"] = v.authorization
	return q
}

// httpCodes are the codes of statuses.
var httpCodes = map[int]codes.Code{
	http.StatusOK: codes.OK, http.StatusUnauthorized: codes.Unauthenticated, http.StatusForbidden: codes.PermissionDenied, http.StatusNotFound: codes.NotFound,
}

// do makes a request, and returns the body of the answer.
func (v *visit) do(q *http.Request) (io.Reader, error) {
	v.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	v.t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: transport}).Do(q)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { resp.Body.Close() })
	code, known := httpCodes[resp.StatusCode]
	if !known {
		code = codes.Unknown
	}
	if code != codes.OK {
		text, _ := io.ReadAll(resp.Body)
		return nil, status.Error(code, string(text))
	}
	return resp.Body, nil
}

func (v *visit) post(path, body string) (string, error) {
	v.t.Helper()
	answer, err := v.do(v.request(http.MethodPost, path, body))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer)
	return string(text), err
}

func askEvents(v *visit) (string, error) { return askEventsAt(v, ofrepSSEPath) }

// askEventsAt asks for events, and returns what is told first.
func askEventsAt(v *visit, uri string) (string, error) {
	events, err := v.do(v.request(http.MethodGet, uri, ""))
	if err != nil {
		return "", err
	}
	v.next = func() (string, error) {
		chunk := make([]byte, 4096)
		n, err := events.Read(chunk)
		if errors.Is(err, io.EOF) { // all that a server of events can say
			err = status.Error(codes.PermissionDenied, "ended")
		}
		return string(chunk[:n]), err
	}
	return v.next()
}

// visitor makes calls to a relay that present values.
func visitor(t *testing.T, r *Relay, authorization ...string) *visit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	for _, value := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
	}
	return &visit{t: t, ctx: ctx, r: r, conn: dial(t, r.GRPCAddr()), authorization: authorization, flag: "shop"}
}

// ruledFlag has a rule of a telling name, and metadata.
func ruledFlag(t *testing.T, key string) *flagv1.Flag {
	t.Helper()
	f := boolFlag(key, "Canada")
	f.Rules[0].Id = "rule-of-" + key
	f.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{"team": structpb.NewStringValue("team-of-" + key)}}
	return f
}

package relay

import (
	"context"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/jsondoc"
	"github.com/tidegate/tidegate/internal/preview"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
)

// evaluationService implements evaluationv1.EvaluationServiceServer from replicas.
type evaluationService struct {
	evaluationv1.UnimplementedEvaluationServiceServer

	// environments do not change after the start; the first is the default.
	environments []*environment
	byName       map[string]*environment
	// region is where this relay runs; empty: not known.
	region string
	// requireKeys: nobody is told anything without a key, not even what there is.
	requireKeys bool
	// draining is closed when long calls are to end.
	draining chan struct{}
}

// environment is one environment that is followed.
type environment struct {
	name    string
	replica *replica.Replica
	// gate tells who may evaluate what; nil: there are no keys, everybody may.
	gate *accesskey.Gate
	// metadata is its own as a flag set, metadataJSON the same; shared.
	metadata     *structpb.Struct
	metadataJSON []byte
	eventsURI    string // of OFREP
	flagd        flagdExport
	answers      counters
	// counts adds up exposures and observations; nil: they are not counted.
	counts *tally.Tally
	// subjects are sampled; nil: they are not.
	subjects *preview.Sampler
	streams  streamCounts
}

func newEvaluationService(replicas *replica.Set, names []string) *evaluationService {
	s := &evaluationService{byName: make(map[string]*environment, len(names)+1), draining: make(chan struct{})}
	for _, name := range names {
		e := newEnvironment(name, replicas.Add(name))
		s.environments = append(s.environments, e)
		s.byName[name] = e
	}
	s.byName[""] = s.environments[0]
	return s
}

func newEnvironment(name string, r *replica.Replica) *environment {
	metadata := setMetadata(name)
	return &environment{
		name: name, replica: r, metadata: metadata, metadataJSON: jsondoc.AppendObject(nil, metadata), eventsURI: eventsURI(name),
		flagd: flagdExport{replica: r, metadata: metadata, logger: zerolog.Nop()},
	}
}

// guard has callers asked for keys: for a good one if they present one, or always.
func (s *evaluationService) guard(require bool) {
	s.requireKeys = require
	for _, e := range s.environments {
		e.gate = accesskey.NewGate(require)
	}
}

// exposed counts that a caller is told an answer, and samples the subject.
func (e *environment) exposed(r *eval.Result, subject *eval.Context) {
	e.counted(r, subject)
	e.subjects.Saw(r.Flag, subject)
}

// counted counts that a caller is told an answer.
func (e *environment) counted(r *eval.Result, subject *eval.Context) {
	if e.counts != nil {
		e.counts.Exposed(r, subject)
	}
}

// drain ends the long calls. It is called once.
func (s *evaluationService) drain() { close(s.draining) }

var errDraining = status.Error(codes.Unavailable, "the relay is shutting down; call again")

// environment finds what a request names.
func (s *evaluationService) environment(name string) (*environment, error) {
	if e := s.byName[name]; e != nil {
		return e, nil
	}
	if s.requireKeys {
		return nil, status.Errorf(codes.NotFound, "environment %.64q is not followed here", name)
	}
	names := make([]string, len(s.environments))
	for i, e := range s.environments {
		names[i] = e.name
	}
	return nil, status.Errorf(codes.NotFound, "environment %.64q is not followed here; followed: %s", name, strings.Join(names, ", "))
}

// snapshot returns what there is to answer from.
func (e *environment) snapshot() (*snapshot.Snapshot, error) {
	if snap := e.replica.Snapshot(); snap != nil {
		return snap, nil
	}
	return nil, e.missing()
}

// missing says why there is nothing to answer from.
func (e *environment) missing() error {
	why := "nothing came from upstream yet"
	if e.replica.Purged() {
		why = whyRevoked
	}
	return status.Errorf(codes.Unavailable, "environment %q: %s", e.name, why)
}

// whyRevoked says why there is nothing to answer from any more.
const whyRevoked = "revoked: the upstream does not serve it to this relay any more"

// source is one snapshot, fit for one request.
type source struct {
	env      *environment
	snapshot *snapshot.Snapshot
	age      time.Duration
	// right is the caller's.
	right *accesskey.Right
	// stale: it does not meet the demand, and the answers must say so.
	stale bool
}

// source finds the snapshot from which a request of somebody is to be answered.
func (s *evaluationService) source(environment string, r freshRequest, who *credential, now time.Time) (src source, err error) {
	if src.env, err = s.environment(environment); err != nil {
		return src, err
	}
	d, err := demandOf(r)
	if err != nil {
		return src, err
	}
	if src.snapshot, err = src.env.snapshot(); err != nil {
		return src, err
	}
	if src.right, err = who.right(src.env, src.snapshot, now); err != nil {
		return src, err
	}
	src.age = src.env.replica.AgeAt(now)
	src.stale, err = d.check(src.env.name, src.snapshot.Cursor().Revision, src.age)
	return src, err
}

// answer makes the response for one flag.
func (src *source) answer(key string, r eval.Result) *evaluationv1.EvaluateResponse {
	a := answerOf(key, r)
	a.Reason = string(src.reason(r))
	return a
}

// reason tells in an answer that it does not meet the demand. An error stays one.
func (src *source) reason(r eval.Result) eval.Reason {
	if src.stale && r.Reason != eval.ReasonError {
		return eval.ReasonStale
	}
	return r.Reason
}

// Evaluate implements the service.
func (s *evaluationService) Evaluate(ctx context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
	who := credentialOf(ctx)
	return s.evaluate(r, &who, time.Now())
}

// evaluate answers one flag, for Evaluate and EvaluateStream.
func (s *evaluationService) evaluate(r *evaluationv1.EvaluateRequest, who *credential, now time.Time) (*evaluationv1.EvaluateResponse, error) {
	subject := contextOf(r.GetContext())
	s.here(&subject, now)
	src, result, err := s.result(r, &subject, who, now)
	if err != nil {
		return nil, err
	}
	src.env.exposed(&result, &subject)
	a := src.answer(r.GetFlagKey(), result)
	a.EnvironmentRevision = src.snapshot.Cursor().Revision
	a.Age = durationpb.New(src.age)
	src.env.answers.add(a.GetReason())
	return a, nil
}

// evaluateRequest is a request for one flag.
type evaluateRequest interface {
	freshRequest
	GetEnvironment() string
	GetFlagKey() string
	GetExpectedType() flagv1.ValueType
}

// result checks a request and evaluates the flag. It is not counted.
func (s *evaluationService) result(r evaluateRequest, subject *eval.Context, who *credential, now time.Time) (src source, result eval.Result, err error) {
	if problem := problemOfKey(r.GetFlagKey()); problem != "" {
		return src, result, invalid("flag_key", "%s", problem)
	}
	if _, known := flagv1.ValueType_name[int32(r.GetExpectedType())]; !known {
		return src, result, invalid("expected_type", "unknown value %d", r.GetExpectedType())
	}
	if src, err = s.source(r.GetEnvironment(), r, who, now); err != nil {
		return src, result, err
	}
	result = src.snapshot.Eval().Evaluate(r.GetFlagKey(), subject).As(r.GetExpectedType())
	return src, src.right.Shown(r.GetFlagKey(), result), nil
}

// EvaluateAll implements the service.
func (s *evaluationService) EvaluateAll(ctx context.Context, r *evaluationv1.EvaluateAllRequest) (*evaluationv1.EvaluateAllResponse, error) {
	who := credentialOf(ctx)
	return s.evaluateAll(ctx, r, &who, time.Now())
}

func (s *evaluationService) evaluateAll(ctx context.Context, r *evaluationv1.EvaluateAllRequest, who *credential, now time.Time) (*evaluationv1.EvaluateAllResponse, error) {
	chosen, err := selectionOf(r)
	if err != nil {
		return nil, err
	}
	src, err := s.source(r.GetEnvironment(), r, who, now)
	if err != nil {
		return nil, err
	}
	subject := contextOf(r.GetContext())
	s.here(&subject, now)
	answers, err := src.answerAll(ctx, chosen, &subject)
	if err != nil {
		return nil, err
	}
	return &evaluationv1.EvaluateAllResponse{
		Evaluations:         answers,
		EnvironmentRevision: src.snapshot.Cursor().Revision,
		Age:                 durationpb.New(src.age),
	}, nil
}

// checkEvery is after how many flags a call that answers many looks whether anybody still
// waits: with a large context, a regular expression takes a tenth of a second.
const checkEvery = 16

// bulkTimeout is how long answering many flags may take, however long the caller waits.
const bulkTimeout = 10 * time.Second

// answerAll answers the chosen flags.
func (src *source) answerAll(ctx context.Context, chosen selection, subject *eval.Context) ([]*evaluationv1.EvaluateResponse, error) {
	answers := make([]*evaluationv1.EvaluateResponse, 0, chosen.count(src.snapshot.Eval()))
	err := src.each(ctx, chosen, subject, func(key string, r eval.Result) {
		answers = append(answers, src.answer(key, r))
	})
	return answers, err
}

// each evaluates those of the chosen flags that the caller sees, in the order asked or that of their keys, and counts
// the answers once all are there. Exposures are counted as they come: of a caller that is gone
// halfway, too.
func (src *source) each(ctx context.Context, chosen selection, subject *eval.Context, answer func(string, eval.Result)) error {
	ctx, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	env := src.snapshot.Eval()
	var counted reasonTally
	sampled := src.sampled(chosen, subject)
	add := func(key string, r eval.Result) {
		counted.add(string(src.reason(r)))
		src.env.counted(&r, subject)
		sampled.Saw(r.Flag, subject)
		answer(key, r)
	}
	if chosen.keys != nil {
		for i, key := range chosen.keys {
			if i%checkEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			add(key, src.right.Shown(key, env.Evaluate(key, subject)))
		}
	} else {
		for i, f := range chosen.of(env.Flags()) {
			if i%checkEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if src.right.Sees(f) {
				add(f.Key(), src.right.Shown(f.Key(), env.EvaluateFlag(f, subject)))
			}
		}
	}
	sampled.Noted()
	src.env.answers.addAll(&counted)
	return nil
}

package clientsdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/clientsdk/internal/telemetry"
	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// NewRemote returns a client that asks the relay at an address (HOST:PORT) for each
// evaluation; an empty environment is the relay's default one. It keeps one connection,
// and reconnects by itself. While the relay cannot be reached, evaluations do not wait:
// they serve defaults, with the error code PROVIDER_NOT_READY.
//
// It returns at once; the first evaluations wait for the connection, within their
// timeout.
//
// OnChange knows of flags that this client has evaluated (of the first thousand). A
// change that alters the flag's answer for an empty context, such as the kill switch, is
// reported when it happens; any other change of the flag, when an evaluation next meets
// it. A client that needs every change at once is an in-process one.
func NewRemote(address, environment string, options ...RemoteOption) (Client, error) {
	cfg, err := newRemoteConfig(address, environment, options)
	if err != nil {
		return nil, err
	}
	key := cfg.newPresenter()
	conn, err := connect(cfg.config, key)
	if err != nil {
		return nil, fmt.Errorf("clientsdk: remote client: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &remote{
		cfg:     cfg,
		conn:    conn,
		rpc:     evaluationv1.NewEvaluationServiceClient(conn),
		started: time.Now(),
		cancel:  cancel,
		closed:  make(chan struct{}),
	}
	if err := c.startTracking(key); err != nil {
		cancel()
		return nil, fmt.Errorf("clientsdk: remote client: %w", errors.Join(err, conn.Close()))
	}
	c.typed = typed{source: c, observe: cfg.observe}
	c.notifier = newNotifier(c.Status)
	c.ask = c.rpc.Evaluate
	if cfg.stream {
		c.pipeline = newPipeline(c.rpc, key)
		c.ask = c.pipeline.Evaluate
	}
	c.watcher = newWatcher(c)
	c.running.Go(func() { c.watcher.run(ctx) })
	return c, nil
}

// remote is the Client that asks.
type remote struct {
	typed
	tracking
	*notifier
	watcher  *watcher
	cfg      remoteConfig
	conn     *grpc.ClientConn
	rpc      evaluationv1.EvaluationServiceClient
	tracker  *telemetry.Tracker // nil without telemetry
	courier  telemetry.Courier
	pipeline *pipeline // nil: one call each
	ask      func(context.Context, *evaluationv1.EvaluateRequest, ...grpc.CallOption) (*evaluationv1.EvaluateResponse, error)

	// What the answers told: the newest revision; when, after started, it was confirmed;
	// and whether the last answer was stale.
	started   time.Time
	revision  atomic.Int64
	confirmed atomic.Int64
	stale     atomic.Bool

	cancel    context.CancelFunc
	running   sync.WaitGroup
	closed    chan struct{}
	closeOnce sync.Once
	closeErr  error
}

func (c *remote) value(ctx context.Context, key string, ec Context, want flagv1.ValueType) *eval.VariantValue {
	v, _ := c.explain(ctx, key, ec, want)
	return v
}

func (c *remote) explain(ctx context.Context, key string, ec Context, want flagv1.ValueType) (*eval.VariantValue, Resolution) {
	if key == "" || !utf8.ValidString(key) {
		return nil, failed(key, ErrorFlagNotFound, fmt.Sprintf("%q cannot be the key of a flag", key))
	}
	request := &evaluationv1.EvaluateRequest{
		Environment:  c.cfg.environment,
		FlagKey:      key,
		Context:      ec.forWire(),
		ExpectedType: want,
	}
	if c.cfg.staleAfter > 0 {
		request.MaxAge = durationpb.New(c.cfg.staleAfter)
		request.StalePolicy = evaluationv1.StalePolicy_STALE_POLICY_ANSWER
	}
	ctx, cancel := context.WithTimeout(given(ctx), c.cfg.timeout)
	defer cancel()
	response, err := c.ask(ctx, request)
	if err != nil {
		return nil, c.unanswered(key, err)
	}
	c.learn(key, response)
	return read(key, response, want)
}

// unanswered is the resolution of an evaluation whose call failed.
func (c *remote) unanswered(key string, err error) Resolution {
	if isClosed(c.closed) {
		return failed(key, ErrorProviderNotReady, "the client is closed")
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unimplemented:
		return failed(key, ErrorGeneral, strings.Join(c.cfg.addresses, " or ")+" is no relay, which a remote client needs: "+s.Message())
	case codes.Unavailable:
		return failed(key, ErrorProviderNotReady, "the relay cannot answer: "+s.Message())
	case codes.DeadlineExceeded:
		return failed(key, ErrorGeneral, fmt.Sprintf("no answer from the relay within %v: %s", c.cfg.timeout, s.Message()))
	default:
		return failed(key, ErrorGeneral, s.Code().String()+": "+s.Message())
	}
}

// learn takes from an answer what concerns the client as a whole.
func (c *remote) learn(key string, r *evaluationv1.EvaluateResponse) {
	c.fresh(r.GetEnvironmentRevision(), r.GetAge().AsDuration())
	if stale := r.GetReason() == string(ReasonStale); c.stale.Swap(stale) != stale {
		c.checkState()
	}
	if c.watcher.evaluated(key, r) {
		c.changed([]string{key})
	}
}

// fresh records an answer's revision and age.
func (c *remote) fresh(revision int64, age time.Duration) {
	raise(&c.revision, revision)
	raise(&c.confirmed, int64(time.Since(c.started)-age))
}

func raise(a *atomic.Int64, to int64) {
	for {
		if now := a.Load(); now >= to || a.CompareAndSwap(now, to) {
			return
		}
	}
}

// read takes the value and the resolution out of an answer.
func read(key string, r *evaluationv1.EvaluateResponse, want flagv1.ValueType) (*eval.VariantValue, Resolution) {
	out := Resolution{
		FlagKey:             key,
		Variant:             r.GetVariant(),
		Reason:              Reason(r.GetReason()),
		Rule:                r.GetRule(),
		UnmetPrerequisite:   r.GetUnmetPrerequisite(),
		FlagRevision:        r.GetFlagRevision(),
		EnvironmentRevision: r.GetEnvironmentRevision(),
		Age:                 r.GetAge().AsDuration(),
		ErrorCode:           ErrorCode(r.GetErrorCode()),
		ErrorMessage:        r.GetErrorMessage(),
		metadata:            r.GetFlagMetadata(),
	}
	if r.GetValue() == nil {
		return nil, out
	}
	v := &eval.VariantValue{Type: want}
	switch x := r.GetValue().(type) {
	case *evaluationv1.EvaluateResponse_BoolValue:
		v.Bool, v.Type = x.BoolValue, flagv1.ValueType_VALUE_TYPE_BOOLEAN
	case *evaluationv1.EvaluateResponse_StringValue:
		v.String, v.Type = x.StringValue, flagv1.ValueType_VALUE_TYPE_STRING
	case *evaluationv1.EvaluateResponse_IntValue:
		v.Int, v.Type = x.IntValue, flagv1.ValueType_VALUE_TYPE_INTEGER
	case *evaluationv1.EvaluateResponse_DoubleValue:
		v.Double, v.Type = x.DoubleValue, flagv1.ValueType_VALUE_TYPE_DOUBLE
	case *evaluationv1.EvaluateResponse_ObjectValue:
		v.Object, v.Type = x.ObjectValue.AsMap(), flagv1.ValueType_VALUE_TYPE_OBJECT
	}
	if v.Type != want {
		return nil, failed(key, ErrorTypeMismatch, fmt.Sprintf("asked for %v, the relay answered %v", want, v.Type))
	}
	return v, out
}

func (c *remote) Close() error {
	c.closeOnce.Do(func() {
		close(c.closed)
		tracking := c.stopTracking()
		c.cancel()
		c.running.Wait()
		if c.pipeline != nil {
			c.pipeline.close()
		}
		c.closeErr = errors.Join(tracking, c.conn.Close())
		c.stopNotifying()
	})
	return c.closeErr
}

func (c *remote) WaitReady(ctx context.Context) error {
	return waitReady(ctx, c, c.watcher.ready, c.closed, c.cfg.addresses)
}

func (c *remote) Status() Status {
	s := c.watcher.status()
	s.Environment = c.cfg.environment
	s.Revision = c.revision.Load()
	if s.Revision > 0 {
		s.Age = time.Since(c.started) - time.Duration(c.confirmed.Load())
	}
	switch {
	case isClosed(c.closed):
		s.State, s.Connected = StateClosed, false
	case s.State == StateReady && c.stale.Load():
		s.State = StateStale
	}
	return s
}

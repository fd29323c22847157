package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/rpc"
	"github.com/tidegate/tidegate/internal/rpc/dial"
	"github.com/tidegate/tidegate/internal/tlsfiles"
	"github.com/tidegate/tidegate/internal/version"
	"github.com/tidegate/tidegate/relay"
	"github.com/tidegate/tidegate/server"
)

// Variables of the process's environment that stand in for flags.
const (
	serverVariable      = "TIDEGATE_SERVER"
	environmentVariable = "TIDEGATE_ENVIRONMENT"
	relayVariable       = "TIDEGATE_RELAY"
	keyFileVariable     = "TIDEGATE_KEY_FILE"
	tlsVariable         = "TIDEGATE_TLS"
	tlsCAVariable       = "TIDEGATE_TLS_CA"
	tlsCertVariable     = "TIDEGATE_TLS_CERT"
	tlsKeyVariable      = "TIDEGATE_TLS_KEY"
	// relayKeyFileVariable is another one: relays know keys, and are not to see whose secret
	// administers the control plane.
	relayKeyFileVariable = "TIDEGATE_RELAY_KEY_FILE"
)

// readEnvironment is the one that reads show unless told otherwise. Writes have no
// default: nobody changes production by leaving something out.
const readEnvironment = "production"

const (
	defaultTimeout = 10 * time.Second
	// maxAnswer is far above the largest page: 1000 flags are listed 100 at a time.
	maxAnswer = 64 << 20
	// maxActor is what servers keep of a name.
	maxActor = 128
)

// clientOptions are the flags of operator commands.
type clientOptions struct {
	address     string
	isRelay     bool // at the address, rather than a control server
	timeout     time.Duration
	output      string
	forms       []string // of output, besides those of every command
	noColor     bool
	environment string
	reason      string
	actor       string
	proposing   proposing
	keyFile     string
	tls         tlsfiles.ClientFiles
	// confirm is the name of a protected environment that is written into, if it was given;
	// confirms: it can be. confirmed is the one that was typed.
	confirm   string
	confirms  bool
	confirmed string
	// presented says where the secret came from that was presented; empty: from nowhere.
	presented string
	// anonymous: nothing is presented, whatever there is.
	anonymous bool
	// retryWait is the wait before the first retry of a write; it doubles.
	retryWait time.Duration
}

func newClientOptions() *clientOptions {
	return &clientOptions{retryWait: 200 * time.Millisecond}
}

// registerServer adds the flags of every command that speaks to the control server.
func (o *clientOptions) registerServer(f *pflag.FlagSet) {
	f.StringVar(&o.address, "server", fromVariable(serverVariable, server.DefaultGRPCAddr), "address of the control server; also $"+serverVariable)
	o.registerCommon(f, keyFileVariable, "`file` with the secret of an identity, to present")
}

// registerRelay adds the flags of a command that speaks to a relay.
func (o *clientOptions) registerRelay(f *pflag.FlagSet) {
	o.isRelay = true
	f.StringVar(&o.address, "relay", fromVariable(relayVariable, relay.DefaultGRPCAddr), "address of the relay; also $"+relayVariable)
	o.registerCommon(f, relayKeyFileVariable, "`file` with the secret of a key, to present")
}

func (o *clientOptions) registerCommon(f *pflag.FlagSet, keyVariable, keyUsage string) {
	f.DurationVar(&o.timeout, "timeout", defaultTimeout, "longest wait for one answer")
	f.StringVarP(&o.output, "output", "o", outputTable, "table, json or yaml")
	f.StringVar(&o.keyFile, "key-file", os.Getenv(keyVariable), keyUsage+"; also $"+keyVariable)
	f.BoolVar(&o.tls.On, "tls", os.Getenv(tlsVariable) != "", "connect with TLS; so do the next three; also $"+tlsVariable)
	f.StringVar(&o.tls.CA, "tls-ca", os.Getenv(tlsCAVariable), "`file` with the authority of the server's certificate (default: whom the system trusts); also $"+tlsCAVariable)
	f.StringVar(&o.tls.Cert, "tls-cert", os.Getenv(tlsCertVariable), "`file` with the certificate to present; also $"+tlsCertVariable)
	f.StringVar(&o.tls.Key, "tls-key", os.Getenv(tlsKeyVariable), "`file` with its key; also $"+tlsKeyVariable)
	f.BoolVar(&o.noColor, "no-color", false, "no colours; also $NO_COLOR, and wherever the output is not a terminal")
}

// registerRead adds --environment with a default.
func (o *clientOptions) registerRead(f *pflag.FlagSet) {
	o.registerServer(f)
	f.StringVarP(&o.environment, "environment", "e", fromVariable(environmentVariable, readEnvironment), "environment; also $"+environmentVariable)
}

// registerWrite adds what every write carries.
func (o *clientOptions) registerWrite(f *pflag.FlagSet) {
	o.registerServer(f)
	o.registerChanged(f)
	o.registerReason(f)
	o.registerConfirm(f)
}

// registerEnvironment adds what a write carries that needs no reason.
func (o *clientOptions) registerEnvironment(f *pflag.FlagSet) {
	o.registerServer(f)
	o.registerChanged(f)
	o.registerActor(f)
}

// changedUsage is what every command that writes into an environment says of --environment.
const changedUsage = "environment to change; required, also $" + environmentVariable

func (o *clientOptions) registerChanged(f *pflag.FlagSet) {
	f.StringVarP(&o.environment, "environment", "e", os.Getenv(environmentVariable), changedUsage)
}

// reasonUsage is what every command that writes says of --reason.
const reasonUsage = "why, for the audit trail; required"

func (o *clientOptions) registerReason(f *pflag.FlagSet) {
	f.StringVar(&o.reason, "reason", "", reasonUsage)
	o.registerActor(f)
}

func (o *clientOptions) registerActor(f *pflag.FlagSet) {
	f.StringVar(&o.actor, "actor", currentUser(), "who, for the audit trail")
}

// requireWrite reports what a write lacks.
func (o *clientOptions) requireWrite() error {
	if err := o.requireEnvironment(); err != nil {
		return err
	}
	return o.requireReason()
}

func (o *clientOptions) requireEnvironment() error {
	if o.environment == "" {
		return usagef("say which environment: --environment production (or set %s); writes have no default", environmentVariable)
	}
	return nil
}

func (o *clientOptions) requireReason() error {
	if o.proposing.at != "" && !o.proposing.on {
		return usagef("--at is of --propose: nothing else is written later")
	}
	if strings.TrimSpace(o.reason) == "" {
		return usagef(`say why: --reason "..." (it becomes part of the audit trail)`)
	}
	return nil
}

// oneKey is what commands on one flag or segment take.
func oneKey(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usagef("say which one: KEY is missing")
	case len(args) > 1:
		return usagef("one KEY at a time, not %d: %s", len(args), strings.Join(args, " "))
	}
	return nil
}

func fromVariable(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// currentUser is the name that the operating system knows; it may be empty.
func currentUser() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// run connects, calls the body, and turns its error into one that people can read.
func (o *clientOptions) run(ctx context.Context, io *streams, body func(context.Context, *client) error) error {
	if err := checkOutput(o.output, o.forms...); err != nil {
		return err
	}
	if err := o.checkAddress(); err != nil {
		return err
	}
	secret, err := o.secret()
	if err != nil {
		return err
	}
	c, err := o.connect(io)
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }() // nothing is left to lose
	if secret != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
	}
	if actor := headerValue(o.actor); actor != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, rpc.ActorKey, actor)
	}
	return c.explain(c.withNearest(ctx, body(ctx, c)))
}

// secret reads the secret to present: of the key file, else of a login at the server; empty:
// none.
func (o *clientOptions) secret() (string, error) {
	switch {
	case o.anonymous:
		return "", nil
	case o.keyFile == "" && o.isRelay:
		return "", nil
	case o.keyFile == "":
		return o.savedSession()
	}
	data, err := os.ReadFile(o.keyFile)
	if err != nil {
		return "", usagef("--key-file: %v", err)
	}
	secret := strings.TrimSpace(string(data))
	o.presented = "; the secret is that of " + o.keyFile
	if _, err := accesskey.Parse(secret); err != nil { // else it might go somewhere that logs it
		return "", usagef("--key-file %s: %v", o.keyFile, err)
	}
	return secret, nil
}

// connect does not wait for the server: the first call tells whether there is one.
func (o *clientOptions) connect(io *streams) (*client, error) {
	secured, err := o.tls.Credentials(zerolog.Nop()) // a command is over before a certificate is
	if err != nil {
		return nil, usagef("%v", err)
	}
	conn, err := grpc.NewClient(o.address, append(dial.Options(),
		grpc.WithTransportCredentials(secured),
		grpc.WithUserAgent("tidegate/"+version.Version),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
	)...)
	if err != nil {
		return nil, usagef("address %q: %v", o.address, err)
	}
	return &client{
		streams: io, clientOptions: o, conn: conn, paint: newPaint(io.out, o.noColor),
		flags:        controlv1.NewFlagServiceClient(conn),
		segments:     controlv1.NewSegmentServiceClient(conn),
		environments: controlv1.NewEnvironmentServiceClient(conn),
		keys:         controlv1.NewKeyServiceClient(conn),
		identities:   controlv1.NewIdentityServiceClient(conn),
		sessions:     controlv1.NewSessionServiceClient(conn),
		epochs:       controlv1.NewEpochServiceClient(conn),
		backups:      controlv1.NewBackupServiceClient(conn),
		fleet:        controlv1.NewFleetServiceClient(conn),
		rollouts:     controlv1.NewRolloutServiceClient(conn),
		freezes:      controlv1.NewFreezeServiceClient(conn),
		evaluations:  evaluationv1.NewEvaluationServiceClient(conn),

		changeRequests: controlv1.NewChangeRequestServiceClient(conn),

		audit:         controlv1.NewAuditServiceClient(conn),
		notifications: controlv1.NewNotificationServiceClient(conn),
	}, nil
}

// client is one command's connection.
type client struct {
	*streams
	*clientOptions
	conn  *grpc.ClientConn
	paint paint

	flags        controlv1.FlagServiceClient
	segments     controlv1.SegmentServiceClient
	environments controlv1.EnvironmentServiceClient
	keys         controlv1.KeyServiceClient
	identities   controlv1.IdentityServiceClient
	sessions     controlv1.SessionServiceClient
	epochs       controlv1.EpochServiceClient
	backups      controlv1.BackupServiceClient
	fleet        controlv1.FleetServiceClient
	rollouts     controlv1.RolloutServiceClient
	freezes      controlv1.FreezeServiceClient
	evaluations  evaluationv1.EvaluationServiceClient

	changeRequests controlv1.ChangeRequestServiceClient

	audit         controlv1.AuditServiceClient
	notifications controlv1.NotificationServiceClient
}

// method is a unary call of a generated client.
type method[Request, Response any] func(context.Context, Request, ...grpc.CallOption) (Response, error)

// read makes one call.
func read[Request, Response any](ctx context.Context, c *client, m method[Request, Response], r Request) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return m(ctx, r)
}

// maxAttempts of a write.
const maxAttempts = 4

// write makes a call whose request carries a request id, so that it can be repeated
// where the outcome is unknown: it happens once all the same. What is written into a protected
// environment is confirmed first.
func write[Request proto.Message, Response any](ctx context.Context, c *client, m method[Request, Response], r Request) (Response, error) {
	if err := c.confirmWrite(ctx, r); err != nil {
		var none Response
		return none, err
	}
	wait := c.retryWait
	for attempt := 1; ; attempt++ {
		response, err := read(ctx, c, m, r)
		code := status.Code(err)
		if code != codes.Unavailable && code != codes.DeadlineExceeded || ctx.Err() != nil {
			return response, err
		}
		if u := notConnected(status.Convert(err)); attempt == maxAttempts || u != nil && u.lasting {
			return response, &unknownOutcomeError{err: err}
		}
		fmt.Fprintf(c.err, "%s; trying again with the same request id (%d of %d)\n", c.explain(err), attempt+1, maxAttempts)
		select {
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
			return response, &unknownOutcomeError{err: err}
		}
	}
}

// unknownOutcomeError: no server answered a write, which may have happened.
type unknownOutcomeError struct{ err error }

func (e *unknownOutcomeError) Error() string { return e.err.Error() }
func (e *unknownOutcomeError) Unwrap() error { return e.err }

// newRequestID names one write, over its retries.
func newRequestID() string { return uuid.NewString() }

// headerValue makes a name fit for metadata: printable ASCII.
func headerValue(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
	return s[:min(len(s), maxActor)]
}

// isNotFound tells a server's NOT_FOUND.
func isNotFound(err error) bool { return status.Code(err) == codes.NotFound }

// errInterrupted is what a command ends with when its user stops it.
var errInterrupted = errors.New("interrupted")

package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/dashboard"
	"github.com/tidegate/tidegate/relay"
	"github.com/tidegate/tidegate/server"
)

const (
	defaultDevDir = "tidegate-data"
	relayDir      = "relay"
	// devDrain is short: nothing of a development server is worth waiting for.
	devDrain = time.Second
	// devEnvironment is the one that the examples show.
	devEnvironment = "production"
	readyPoll      = 20 * time.Millisecond
)

func newDevCommand(io *streams) *cobra.Command {
	var (
		s    server.Options
		r    relay.Options
		logs logFlags
		to   string
	)
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process, for development",
		Long: "Run a control server and a relay in one process, with data on disk, and example\n" +
			"flags if the store is empty. It listens on loopback unless told otherwise.",
		Example: "  tidegate dev\n  tidegate dev --data-dir /tmp/try --grpc-addr 127.0.0.1:9013",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := logs.logger(io)
			if err != nil {
				return err
			}
			if s.Notify, err = notificationTargets(to); err != nil {
				return err
			}
			d := &dev{streams: io, server: s, relay: r, logger: logger}
			if err := d.run(cmd.Context()); err != nil {
				return addressesOf(cmd.Flags()).explain(err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.DataDir, "data-dir", defaultDevDir, "where everything is kept")
	f.StringVar(&s.GRPCAddr, "grpc-addr", server.DefaultGRPCAddr, "server: control and sync services over gRPC")
	f.StringVar(&s.HTTPAddr, "http-addr", server.DefaultHTTPAddr, "server: the same as JSON; health and metrics")
	f.StringVar(&r.GRPCAddr, "relay-grpc-addr", relay.DefaultGRPCAddr, "relay: evaluation (flagd's too) and sync services over gRPC")
	f.StringVar(&r.HTTPAddr, "relay-http-addr", relay.DefaultHTTPAddr, "relay: OFREP, and evaluation with JSON")
	f.StringVar(&r.ManagementAddr, "relay-management-addr", relay.DefaultManagementAddr, "relay: health and metrics")
	f.StringVar(&r.FlagdSyncAddr, "relay-flagd-sync-addr", relay.DefaultFlagdSyncAddr, "relay: flagd's in-process providers")
	registerNotifications(f, &to)
	logs.register(f, "warn")
	return cmd
}

// dev is a control server and a relay in one process.
type dev struct {
	*streams
	server server.Options
	relay  relay.Options
	logger zerolog.Logger
	// ready, if not nil, is called when everything answers.
	ready func(*server.Server, *relay.Relay)
}

func (d *dev) run(ctx context.Context) error {
	s, r, err := d.open(ctx)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	// The server goes last: a relay that loses its upstream would say so.
	serving, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	all.Go(func() error { return s.Run(serving) })
	all.Go(func() error {
		defer stopServer()
		return r.Run(ctx)
	})
	all.Go(func() error { return d.welcome(ctx, s, r) })
	return all.Wait()
}

// open takes every port before a flag is written or anything answers.
func (d *dev) open(ctx context.Context) (*server.Server, *relay.Relay, error) {
	so := d.server
	so.Environments = server.DefaultEnvironments()
	so.Open = true
	so.Dashboard = dashboard.Files()
	so.Drain = devDrain
	so.Logger = d.logger.With().Str("part", "server").Logger()
	s, err := server.Open(ctx, so)
	if err != nil {
		return nil, nil, err
	}
	ro := d.relay
	ro.Upstreams = []string{reachable(s.GRPCAddr())}
	ro.Environments = []string{devEnvironment, "staging", "dev"} // the first is its default
	ro.StateDir = filepath.Join(so.DataDir, relayDir)
	ro.Drain = devDrain
	ro.Logger = d.logger.With().Str("part", "relay").Logger()
	r, err := relay.Open(ctx, ro)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return s, r, nil
}

// welcome adds the examples to an empty store, waits until everything answers, and says
// what to try.
func (d *dev) welcome(ctx context.Context, s *server.Server, r *relay.Relay) error {
	err := addExamples(ctx, reachable(s.GRPCAddr()))
	if err == nil {
		err = awaitReady(ctx, "http://"+reachable(s.HTTPAddr())+"/readyz", "http://"+reachable(r.ManagementAddr())+"/readyz")
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // stopped before it was ready; that is no failure
	}
	if err != nil {
		return err
	}
	if err := printWelcome(d.out, d.server.DataDir, devAddresses{
		Server: s.GRPCAddr(), ServerHTTP: s.HTTPAddr(),
		Relay: r.GRPCAddr(), RelayHTTP: r.HTTPAddr(), Management: r.ManagementAddr(), FlagdSync: r.FlagdSyncAddr(),
	}); err != nil {
		return err
	}
	if d.ready != nil {
		d.ready(s, r)
	}
	return nil
}

// awaitReady polls until all URLs answer 200, or ctx ends.
func awaitReady(ctx context.Context, urls ...string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ready := func(url string) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close() // only the status counts
		return resp.StatusCode == http.StatusOK
	}
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for _, url := range urls {
		for !ready(url) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-poll.C:
			}
		}
	}
	return nil
}

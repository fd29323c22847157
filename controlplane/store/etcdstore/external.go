package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/mod/semver"
)

const (
	progressInterval = time.Second
	// etcd refuses pings that come more often than every 5 s.
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
)

func openExternal(ctx context.Context, o Options) (*Store, error) {
	client, err := dial(o)
	if err != nil {
		return nil, err
	}
	if err := checkEndpoints(ctx, client, o); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	watchClient, err := dial(o)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return newStore(client, watchClient, nil), nil
}

func dial(o Options) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            o.Endpoints,
		DialTimeout:          o.DialTimeout,
		DialKeepAliveTime:    keepaliveTime,
		DialKeepAliveTimeout: keepaliveTimeout,
		TLS:                  o.TLS,
		Logger:               zap.NewNop(), // what it would say is returned as errors
	})
	if err != nil {
		return nil, fmt.Errorf("etcdstore: etcd endpoints %q: %w", o.Endpoints, err)
	}
	return client, nil
}

// checkEndpoints asks every endpoint for its version. A cluster may have members that
// are down, so one that answers is enough; but none may be too old.
func checkEndpoints(ctx context.Context, client *clientv3.Client, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	silent := make([]error, len(o.Endpoints))
	outdated := make([]error, len(o.Endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range o.Endpoints {
		wg.Go(func() {
			status, err := client.Status(ctx, endpoint)
			if err != nil {
				silent[i] = fmt.Errorf("etcdstore: etcd endpoint %s does not answer: %w", endpoint, err)
				return
			}
			outdated[i] = checkVersion(endpoint, status.Version)
		})
	}
	wg.Wait()
	if err := errors.Join(outdated...); err != nil {
		return err
	}
	answering := 0
	for _, err := range silent {
		if err == nil {
			answering++
		}
	}
	if answering == 0 {
		return errors.Join(silent...)
	}
	for _, err := range silent {
		if err != nil {
			o.Logger.Warn().Err(err).Msg("an etcd endpoint does not answer; going on with the others")
		}
	}
	return nil
}

// checkVersion refuses etcd versions with known stale reads and security faults.
func checkVersion(endpoint, version string) error {
	v := "v" + version
	recent := semver.Compare(v, "v3.7.1") >= 0 ||
		semver.MajorMinor(v) == "v3.6" && semver.Compare(v, "v3.6.14") >= 0
	if !recent {
		return fmt.Errorf("etcdstore: etcd at %s is version %s: tidegate needs 3.7.1 or later, or 3.6.14 or later of 3.6", endpoint, version)
	}
	return nil
}

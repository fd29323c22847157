package relay

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/encoding/protodelim"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// tripStore keeps the trips that stand over a restart of the relay, which would otherwise
// serve again what it has found to be broken. It is written before a trip is served.
type tripStore struct {
	path   string // empty: memory only
	logger zerolog.Logger

	mu    sync.Mutex
	trips map[string][]*telemetryv1.Trip // by environment
}

// tripsFile is in the state directory. It holds a batch for each environment, with its length
// before it.
const tripsFile = "trips.pb"

// openTrips reads what stood. A file that cannot be read is none: the breakers would find the
// same again.
func openTrips(dir string, logger zerolog.Logger) *tripStore {
	s := &tripStore{logger: logger, trips: map[string][]*telemetryv1.Trip{}}
	if dir == "" {
		return s
	}
	s.path = filepath.Join(dir, tripsFile)
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s
	}
	var all telemetryTrips
	if err == nil {
		all, err = readTrips(data)
	}
	if err != nil {
		logger.Error().Err(err).Str("file", s.path).Msg("the trips that stood cannot be read: what this relay had shut is open again")
		return s
	}
	s.trips = all
	return s
}

// telemetryTrips are by environment.
type telemetryTrips = map[string][]*telemetryv1.Trip

func readTrips(data []byte) (telemetryTrips, error) {
	all := telemetryTrips{}
	for r := bytes.NewReader(data); ; {
		b := &telemetryv1.Batch{}
		if err := protodelim.UnmarshalFrom(r, b); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[b.GetEnvironment()] = b.GetTrips()
	}
}

// of returns those of an environment.
func (s *tripStore) of(environment string) []*telemetryv1.Trip {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trips[environment]
}

// set makes these the trips of the environment. What cannot be written is logged: they stand
// all the same, as long as the process does.
func (s *tripStore) set(environment string, list []*telemetryv1.Trip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(list) == 0 {
		delete(s.trips, environment)
	} else {
		s.trips[environment] = list
	}
	if s.path == "" {
		return
	}
	if err := s.write(); err != nil {
		s.logger.Error().Err(err).Msg("trips cannot be written down: after a restart this relay would open what it has shut")
	}
}

func (s *tripStore) write() error {
	var data bytes.Buffer
	for environment, list := range s.trips {
		if _, err := protodelim.MarshalTo(&data, &telemetryv1.Batch{Environment: environment, Trips: list}); err != nil {
			return err
		}
	}
	next := s.path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(next, s.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// syncDir makes the names in a directory as durable as what they name.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

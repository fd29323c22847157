// Package tlsfiles makes TLS of certificates that lie in files, and follows those: a
// certificate that is renewed is used without a restart. Files are looked at when a connection
// is made, at most once a second; while they are broken, what they held before is used.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// lookEvery is how often files are looked at.
const lookEvery = time.Second

// pair is a certificate with what leads to its authority, and its key, in PEM.
type pair struct{ cert, key string }

func (p pair) load() (*tls.Certificate, error) {
	loaded, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate %s with key %s: %w", p.cert, p.key, err)
	}
	return &loaded, nil
}

// authorities reads certificates of authorities, in PEM.
func authorities(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("TLS authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("TLS authority %s: holds no certificate in PEM", file)
	}
	return pool, nil
}

// followed is what is made of files, and made again when they change.
type followed[T any] struct {
	files  []string
	make   func() (T, error)
	logger zerolog.Logger

	mu     sync.Mutex
	looked time.Time
	seen   []mark
	value  T
}

// mark is how a file is known to have changed.
type mark struct {
	modified time.Time
	size     int64
}

// follow reads files, which must be good.
func follow[T any](logger zerolog.Logger, read func() (T, error), files ...string) (*followed[T], error) {
	f := &followed[T]{files: files, make: read, logger: logger, looked: time.Now(), seen: marks(files)}
	var err error
	f.value, err = read()
	return f, err
}

func marks(files []string) []mark {
	all := make([]mark, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil {
			all[i] = mark{info.ModTime(), info.Size()}
		}
	}
	return all
}

func (f *followed[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < lookEvery {
		return f.value
	}
	f.looked = time.Now()
	now := marks(f.files)
	if slices.Equal(now, f.seen) {
		return f.value
	}
	f.seen = now
	value, err := f.make()
	if err != nil { // half of it may be written: what comes next is another change
		f.logger.Error().Err(err).Msg("cannot read what TLS takes; using what was there before")
		return f.value
	}
	f.value = value
	f.logger.Info().Strs("files", f.files).Msg("TLS certificates were read again")
	return f.value
}

var errPair = errors.New("TLS: want a certificate and its key, each in a file")

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/bench/testbed"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

const (
	// changeBytes is the size of the definition that changes, flagBytes that of the others.
	changeBytes, flagBytes = 1 << 10, 330
	// largeBytes is the size of a change of which four fill a stream's window.
	largeBytes = 20 << 10
)

// subject is a server that is measured.
type subject interface {
	name() string
	addr() string
	pid() int
	// change writes a definition of the size, and returns when that was answered, and the
	// revision under which it is sent.
	change(ctx context.Context, size int) (time.Time, int64, error)
	// prepare is called before followers come that are empty, or not.
	prepare(ctx context.Context, empty bool) error
	// live is the memory in use for heap and stacks, after the garbage was collected.
	live(ctx context.Context) (float64, error)
	// kill ends it without a word, start starts it again with what it had.
	kill()
	start(ctx context.Context) error
	stop()
}

const heapInUse, stackInUse = "go_memstats_heap_inuse_bytes", "go_memstats_stack_inuse_bytes"

// tidegate is a control server with flags.
type tidegate struct {
	*testbed.Server
	keys   []string
	flag   *controlv1.FlagVersion // the one that changes
	writes int
}

func startTidegate(ctx context.Context, bin, dir string, flags int) (_ *tidegate, err error) {
	s := &tidegate{keys: testbed.Keys(flags)}
	if s.Server, err = testbed.StartServer(ctx, bin, dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if err := s.Fill(ctx, s.keys, flagBytes); err != nil {
		return nil, err
	}
	r, err := s.Control.CreateFlag(ctx, &controlv1.CreateFlagRequest{
		Environment: testbed.Environment, Flag: testbed.Sized("changes", changeBytes), Reason: "measure",
	})
	s.flag = r.GetFlag()
	return s, err
}

func (s *tidegate) name() string { return "tidegate" }
func (s *tidegate) addr() string { return s.Addr }
func (s *tidegate) pid() int     { return s.PID() }
func (s *tidegate) kill()        { s.Kill() }
func (s *tidegate) stop()        { s.Stop() }

func (s *tidegate) start(ctx context.Context) error { return s.Start(ctx) }

func (s *tidegate) prepare(context.Context, bool) error { return nil }

func (s *tidegate) change(ctx context.Context, size int) (time.Time, int64, error) {
	// The owner has one letter, and another with each change.
	next := testbed.Sized("changes", size)
	s.writes++
	next.Owner = string(rune('a' + s.writes%26))
	r, err := s.Control.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{
		Environment: testbed.Environment, Flag: next, BaseRevision: s.flag.GetRevision(), Reason: "measure",
	})
	if err != nil {
		return time.Time{}, 0, err
	}
	s.flag = r.GetFlag()
	return time.Now(), s.flag.GetRevision(), nil
}

// live has the server make garbage, by listing all flags, until it has collected it
// often enough for its pools to be empty too.
func (s *tidegate) live(ctx context.Context) (float64, error) {
	const collections = "go_gc_duration_seconds_count"
	first, least := -1.0, 0.0
	for {
		m, err := s.Metrics(ctx, collections, heapInUse, stackInUse)
		if err != nil {
			return 0, err
		}
		if now := m[heapInUse] + m[stackInUse]; least == 0 || now < least {
			least = now
		}
		if first < 0 {
			first = m[collections]
		}
		if m[collections] >= first+4 {
			return least, nil
		}
		for range 2 { // little: what is garbage at the next look, counts
			if _, err := s.Control.ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: testbed.Environment, PageSize: 1000}); err != nil {
				return 0, err
			}
		}
	}
}

const floorName = "bare grpc-go"

// floor is that server.
type floor struct {
	bin, grpcAddr, httpAddr string
	cmd                     *exec.Cmd
	flags                   int
	revision                int64
	greeting                []byte
}

func startFloor(ctx context.Context, bin string, flags int) (_ *floor, err error) {
	s := &floor{bin: bin, flags: flags}
	if s.grpcAddr, err = testbed.FreeAddr(); err != nil {
		return nil, err
	}
	if s.httpAddr, err = testbed.FreeAddr(); err != nil {
		return nil, err
	}
	if s.greeting, err = message(0, 0); err != nil {
		return nil, err
	}
	return s, s.start(ctx)
}

// prepare sets what followers are greeted with: as many bytes as they need.
func (s *floor) prepare(ctx context.Context, empty bool) (err error) {
	size := 0
	if empty {
		size = s.flags * flagBytes
	}
	if s.greeting, err = message(s.revision, size); err != nil {
		return err
	}
	return s.post(ctx, "/greeting", s.greeting)
}

func (s *floor) name() string { return floorName }
func (s *floor) addr() string { return s.grpcAddr }
func (s *floor) pid() int     { return s.cmd.Process.Pid }

func (s *floor) start(ctx context.Context) error {
	s.cmd = exec.CommandContext(ctx, filepath.Join(s.bin, "floor"), "-addr", s.grpcAddr, "-http-addr", s.httpAddr) //nolint:gosec // built by us
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for {
		err := s.post(ctx, "/greeting", s.greeting)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *floor) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *floor) stop() { s.kill() }

func (s *floor) post(ctx context.Context, path string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.httpAddr+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, answer.Status)
	}
	return nil
}

func (s *floor) change(ctx context.Context, size int) (time.Time, int64, error) {
	s.revision++
	m, err := message(s.revision, size)
	if err != nil {
		return time.Time{}, 0, err
	}
	err = s.post(ctx, "/publish", m)
	return time.Now(), s.revision, err
}

func (s *floor) live(ctx context.Context) (float64, error) {
	m, err := testbed.Metrics(ctx, "http://"+s.httpAddr+"/metrics", heapInUse, stackInUse)
	return m[heapInUse] + m[stackInUse], err
}

// message is an Update that puts one flag of the size, or none.
func message(revision int64, size int) ([]byte, error) {
	cursor := func(revision int64) *syncv1.Cursor {
		return &syncv1.Cursor{
			Epoch: &syncv1.Epoch{Counter: 1, Random: 0xc0ffee}, Revision: revision, Digest: bytes.Repeat([]byte{byte(revision)}, 16),
		}
	}
	u := &syncv1.Update{
		Environment: testbed.Environment,
		Begin:       &syncv1.Begin{Mode: syncv1.Begin_MODE_DELTA, Base: cursor(revision - 1), Target: cursor(revision)},
		Commit:      &syncv1.Commit{Cursor: cursor(revision)},
	}
	if size > 0 {
		u.Puts = []*syncv1.Put{{
			Kind: syncv1.Kind_KIND_FLAG, Key: "changes", ModRevision: revision, Data: []byte(strings.Repeat("x", size)),
		}}
	}
	return proto.Marshal(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: u}})
}

//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"

	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/fault"
)

// TestKillAtEveryPoint lets a server and a relay kill themselves at each failpoint, at a
// random one of its passages, under writers and readers: no acknowledged write is lost,
// what is written together is seen together, and nothing ever goes back, over restarts
// too.
func TestKillAtEveryPoint(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.embedded(s.folder("server"))
	edge := s.relay(srv.GRPC)
	behind := s.relay(edge.GRPC)
	s.load()
	for _, point := range fault.ServerPoints {
		s.mustServe([]*relay{edge, behind}, func() { s.killAt(srv.Process, point, 1+s.random.IntN(8)) })
	}
	for _, point := range fault.RelayPoints {
		hit, stop := 1+s.random.IntN(8), func() {}
		if strings.HasPrefix(point, "statefile/") {
			// They are passed where the log has grown long.
			hit, stop = 1, s.bulk(srv, 30*time.Millisecond)
		}
		s.mustServe([]*relay{behind}, func() { s.killAt(edge.Process, point, hit) })
		stop()
	}
	s.converge()
}

// bulkKey is that of the large flag.
const bulkKey = "bulk"

// bulk writes a large flag again and again, with pauses, until it is stopped.
func (s *scenario) bulk(srv *bed.Server, pause time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	flags := controlv1.NewFlagServiceClient(bed.Dial(s, srv.GRPC))
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx.Err() == nil {
			f := (&churned{key: bulkKey, count: s.bulks}).asFlag()
			s.bulks++
			f.Description = strings.Repeat("x", 128<<10)
			_, err := flags.Apply(ctx, &controlv1.ApplyRequest{
				Environment: bed.Environment, Reason: "bulk", RequestId: uuid.NewString(), Flags: []*controlv1.FlagWrite{{Flag: f}},
			})
			if err != nil && ctx.Err() == nil && status.Code(err) != codes.Unavailable && !isFull(err) {
				s.Errorf("write a large flag: %v", err)
				return
			}
			time.Sleep(pause) // leaves the disk to others
		}
	})
	return func() { cancel(); writing.Wait() }
}

// killAt has a process die, and the writers go on.
func (s *scenario) killAt(p *bed.Process, point string, hit int) {
	s.Helper()
	s.dieAt(p, point, hit)
	s.mustWrite("after a kill at "+point, s.writers...)
}

// dieAt starts a process again so that it kills itself, and then once more.
func (s *scenario) dieAt(p *bed.Process, point string, hit int) {
	s.Helper()
	s.Logf("kill %s at %s, passage %d", p.Name(), point, hit)
	p.Kill()
	p.SetEnv(fmt.Sprintf("%s=%s=kill:%d", fault.Variable, point, hit))
	p.Launch()
	bed.Eventually(s, fmt.Sprintf("killed at %s, passage %d", point, hit), func() error {
		if p.Alive() {
			return errors.New("it lives")
		}
		return nil
	})
	var exit *exec.ExitError
	if err := p.Terminate(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		s.Errorf("at %s: ended with %v, want SIGKILL", point, err)
	}
	p.SetEnv()
	p.Start()
}

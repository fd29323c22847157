package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/loopback"
)

// Server is a control server.
type Server struct {
	Control  controlv1.FlagServiceClient
	Rollouts controlv1.RolloutServiceClient
	Keys     controlv1.KeyServiceClient
	// The addresses for gRPC and for HTTP; they stay the same over restarts.
	Addr, HTTPAddr string

	bin, dir string
	cmd      *exec.Cmd
	conn     *grpc.ClientConn
}

// StartServer starts a server from the binaries in bin, with its data in dir.
func StartServer(ctx context.Context, bin, dir string) (*Server, error) {
	addrs, err := loopback.Addrs(2)
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: addrs[0], HTTPAddr: addrs[1], bin: bin, dir: dir}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	if s.conn, err = connect(s.Addr); err != nil {
		s.Stop()
		return nil, err
	}
	s.Control, s.Rollouts = controlv1.NewFlagServiceClient(s.conn), controlv1.NewRolloutServiceClient(s.conn)
	s.Keys = controlv1.NewKeyServiceClient(s.conn)
	return s, nil
}

// Start starts the server again, after Kill.
func (s *Server) Start(ctx context.Context) (err error) {
	s.cmd, err = spawn(ctx, filepath.Join(s.bin, "tidegate"), "server", "--open", "--data-dir", filepath.Join(s.dir, "server"),
		"--grpc-addr", s.Addr, "--http-addr", s.HTTPAddr, "--log-level", "error")
	return err
}

// Kill ends the server as a power cut would, but for the machine.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Stop ends the server as an operator would.
func (s *Server) Stop() {
	if s.conn != nil {
		s.conn.Close()
	}
	end(s.cmd)
}

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Fill writes flags of these keys, 30 a transaction; each definition takes about size
// bytes, or as many as a usual one does, if that is more.
func (s *Server) Fill(ctx context.Context, keys []string, size int) error {
	for some := range slices.Chunk(keys, 30) {
		request := &controlv1.ApplyRequest{Environment: Environment, Reason: "measure"}
		for _, key := range some {
			request.Flags = append(request.Flags, &controlv1.FlagWrite{Flag: Sized(key, size)})
		}
		if _, err := s.Control.Apply(ctx, request); err != nil {
			return err
		}
	}
	return nil
}

// Keys are the keys of the first n flags.
func Keys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = Key(i)
	}
	return keys
}

// Sized is a flag of a usual form whose definition takes about size bytes.
func Sized(key string, size int) *flagv1.Flag {
	f := definition(key)
	if missing := size - proto.Size(f); missing > 0 {
		f.Description += strings.Repeat(".", missing)
	}
	return f
}

// Metrics reads metrics of the server that have no labels.
func (s *Server) Metrics(ctx context.Context, names ...string) (map[string]float64, error) {
	return Metrics(ctx, "http://"+s.HTTPAddr+"/metrics", names...)
}

// Metrics reads metrics without labels from a page in Prometheus's text form.
func Metrics(ctx context.Context, url string, names ...string) (map[string]float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	found := make(map[string]float64, len(names))
	for line := range strings.Lines(string(page)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains(names, name) {
			continue
		}
		if found[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", url, name, err)
		}
	}
	for _, name := range names {
		if _, ok := found[name]; !ok {
			return nil, fmt.Errorf("%s has no %s", url, name)
		}
	}
	return found, nil
}

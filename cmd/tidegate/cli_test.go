package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/server"
)

var update = flag.Bool("update", false, "write what the commands print into testdata/cli")

// TestCommands runs the sessions in testdata/cli, each against a control server of its
// own. A session is a list of comments ('## ...') and commands ('$ tidegate ...', with
// '< FILE' for the standard input) and what they print: errors after '! ', an exit code
// other than 0 in brackets.
func TestCommands(t *testing.T) {
	t.Setenv("USER", "alice")
	t.Setenv("NO_COLOR", "")
	t.Setenv(environmentVariable, "")
	t.Setenv(relayVariable, "127.0.0.1:1")
	paths, err := filepath.Glob("testdata/cli/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			s := startServer(t)
			t.Setenv(serverVariable, s.GRPCAddr())
			session, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := runSession(t, string(session))
			got = strings.ReplaceAll(got, s.GRPCAddr(), "SERVER")
			got = strings.ReplaceAll(got, t.TempDir(), "TEMP")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(session) {
				t.Errorf("%s differs (write it again with -update); it is now:\n%s", path, got)
			}
		})
	}
}

// startAskingServer starts a server that asks who calls.
func startAskingServer(t *testing.T) *server.Server {
	t.Helper()
	s, _ := runServer(t, server.Options{})
	return s
}

// startServer starts one that does not, and whose revisions are always the same.
func startServer(t *testing.T) *server.Server {
	t.Helper()
	return startServerWith(t, server.Options{})
}

// startServerWith starts a server on a store of its own.
func startServerWith(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Open, o.SealEvery = true, time.Hour
	s, state := runServer(t, o)
	// Revisions are printed, and to be elected takes one; so would seals.
	for {
		results, _, err := state.Read(t.Context(), store.Key(leader.Key))
		if err != nil {
			t.Fatal(err)
		}
		if kvs := results[0].KVs; len(kvs) > 0 && applied(t.Context(), t, s) >= kvs[0].ModRevision {
			return s
		}
		time.Sleep(time.Millisecond)
	}
}

func runServer(t *testing.T, o server.Options) (*server.Server, store.Store) {
	t.Helper()
	const anyPort = "127.0.0.1:0"
	ctx, cancel := context.WithCancel(context.Background())
	o.Store, o.GRPCAddr, o.HTTPAddr, o.InstanceID = memstore.New(), anyPort, anyPort, "test"
	o.Logger = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel)
	s, err := server.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, o.Store
}

// applied is the lowest revision at which a server shows an environment.
func applied(ctx context.Context, t *testing.T, s *server.Server) int64 {
	t.Helper()
	conn, err := grpc.NewClient(s.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := controlv1.NewEnvironmentServiceClient(conn).ListEnvironments(ctx, &controlv1.ListEnvironmentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	lowest := int64(math.MaxInt64)
	for _, e := range r.GetEnvironments() {
		lowest = min(lowest, e.GetCursor().GetRevision())
	}
	return lowest
}

var (
	moments = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z`)
	// What is different each time, as JSON and YAML name it.
	varying = regexp.MustCompile(`("?(?:requestId|peer|previousHash|digest|random)"?: ?).*`)
	digests = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	// Whether the decider has looked already depends on the machine.
	assessed = regexp.MustCompile(`(?m)^ *evidence +Held at .*\n`)
)

func runSession(t *testing.T, session string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.SplitSeq(session, "\n") {
		switch {
		case strings.HasPrefix(line, "## "):
			out.WriteString(line + "\n\n")
		case strings.HasPrefix(line, "$ tidegate "):
			out.WriteString(line + "\n" + runLine(t, strings.TrimPrefix(line, "$ tidegate ")) + "\n")
		}
	}
	text := moments.ReplaceAllString(out.String(), "TIME")
	text = digests.ReplaceAllString(text, "DIGEST")
	text = assessed.ReplaceAllString(text, "")
	return varying.ReplaceAllString(text, "${1}VARIES")
}

func runLine(t *testing.T, line string) string {
	t.Helper()
	line, input, hasInput := strings.Cut(line, " < ")
	var in io.Reader = strings.NewReader("")
	if hasInput {
		data, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), &streams{in: in, out: &stdout, err: &stderr}, shellWords(line))
	text := stdout.String()
	for line := range strings.Lines(stderr.String()) {
		text += "! " + line
	}
	if code != exitOK {
		text += "[" + strconv.Itoa(code) + "]\n"
	}
	return text
}

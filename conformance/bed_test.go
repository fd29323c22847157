//go:build conformance

package conformance

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/manifest"
	"github.com/tidegate/tidegate/internal/shipped"
)

// The environments. Both have the same flags; those of the second one have bucketing
// version 3.
const (
	version2 = "production"
	version3 = "staging"
)

// patience bounds every wait: generous, as machines are slow and shared.
const patience = 60 * time.Second

// bin holds the binaries under test, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if err := installed(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "tidegate-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := shipped.Build(context.Background(), "..", dir, ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	return m.Run()
}

// bed is a control server and a relay behind it, real processes.
type bed struct {
	grpc, sync, http int // ports of the relay
	control          controlv1.FlagServiceClient
	evaluation       evaluationv1.EvaluationServiceClient
	relay            *process
}

func newBed(t *testing.T) *bed {
	t.Helper()
	ports := freePorts(t, 6)
	b := &bed{grpc: ports[2], sync: ports[3], http: ports[4]}
	dir := t.TempDir()
	server := newProcess(t, loopback(ports[1]), "tidegate", "server", "--open", "--data-dir", filepath.Join(dir, "server"),
		"--grpc-addr", loopback(ports[0]), "--http-addr", loopback(ports[1]), "--log-level", "warn")
	server.start()
	b.control = controlv1.NewFlagServiceClient(dial(t, ports[0]))
	b.relay = newProcess(t, loopback(ports[5]), "tidegate-relay", "--upstream", loopback(ports[0]),
		"--environments", version2+","+version3, "--region", "here", "--grpc-addr", loopback(b.grpc), "--flagd-sync-addr", loopback(b.sync),
		"--http-addr", loopback(b.http), "--management-addr", loopback(ports[5]), "--log-level", "warn")
	b.relay.start()
	b.evaluation = evaluationv1.NewEvaluationServiceClient(dial(t, b.grpc))
	return b
}

// load writes the flags and segments of the files in flags/ into both environments.
func (b *bed) load(t *testing.T) {
	t.Helper()
	var documents []*manifest.Document
	files, err := filepath.Glob(filepath.Join("flags", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in flags/: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := manifest.Parse(file, data)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, d)
	}
	var flags []*flagv1.Flag
	var segments []*flagv1.Segment
	for _, d := range documents {
		flags, segments = append(flags, d.Flags...), append(segments, d.Segments...)
	}
	b.write(t, flags, segments)
}

// write writes flags and segments into both environments, and waits until the relay has
// them.
func (b *bed) write(t *testing.T, flags []*flagv1.Flag, segments []*flagv1.Segment) {
	t.Helper()
	// A transaction takes 30 of them; those that others need come first.
	const most = 30
	for _, environment := range []string{version2, version3} {
		var written int64
		for from := 0; from < len(segments); from += most {
			request := &controlv1.ApplyRequest{Environment: environment, Reason: "conformance"}
			for _, s := range segments[from:min(from+most, len(segments))] {
				request.Segments = append(request.Segments, &controlv1.SegmentWrite{Segment: s})
			}
			written = b.apply(t, request)
		}
		for from := 0; from < len(flags); from += most {
			request := &controlv1.ApplyRequest{Environment: environment, Reason: "conformance"}
			for _, f := range flags[from:min(from+most, len(flags))] {
				request.Flags = append(request.Flags, &controlv1.FlagWrite{Flag: bucketed(f, environment)})
			}
			written = b.apply(t, request)
		}
		eventually(t, "the relay has "+environment, func() error {
			_, err := b.evaluation.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{
				Environment: environment, FlagKey: flags[0].GetKey(), MinRevision: written,
			})
			return err
		})
	}
}

// apply returns the revision of the write.
func (b *bed) apply(t *testing.T, request *controlv1.ApplyRequest) int64 {
	t.Helper()
	answer, err := b.control.Apply(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetRevision()
}

// bucketed is the flag with the bucketing version of an environment.
func bucketed(f *flagv1.Flag, environment string) *flagv1.Flag {
	version := flagv1.BucketingVersion_BUCKETING_VERSION_2
	if environment == version3 {
		version = flagv1.BucketingVersion_BUCKETING_VERSION_3
	}
	f = proto.CloneOf(f)
	f.BucketingVersion = version
	for _, o := range append([]*flagv1.Outcome{f.GetDefaultOutcome()}, outcomes(f)...) {
		if s := o.GetSplit(); s != nil {
			s.BucketingVersion = version
		}
	}
	return f
}

func outcomes(f *flagv1.Flag) []*flagv1.Outcome {
	var all []*flagv1.Outcome
	for _, r := range f.GetRules() {
		all = append(all, r.GetOutcome())
	}
	return all
}

// copy writes a flag under other keys.
func (b *bed) copy(t *testing.T, flag string, keys []string) {
	t.Helper()
	got, err := b.control.GetFlag(t.Context(), &controlv1.GetFlagRequest{Environment: version2, FlagKey: flag})
	if err != nil {
		t.Fatal(err)
	}
	flags := make([]*flagv1.Flag, len(keys))
	for i, key := range keys {
		flags[i] = proto.CloneOf(got.GetFlag().GetFlag())
		flags[i].Key = key
	}
	b.write(t, flags, nil)
}

// serve makes a flag serve a variant by default, in both environments.
func (b *bed) serve(t *testing.T, flag, variant string) {
	t.Helper()
	for _, environment := range []string{version2, version3} {
		b.serveIn(t, environment, flag, variant)
	}
}

func (b *bed) serveIn(t *testing.T, environment, flag, variant string) {
	t.Helper()
	now, err := b.control.GetFlag(t.Context(), &controlv1.GetFlagRequest{Environment: environment, FlagKey: flag})
	if err != nil {
		t.Fatal(err)
	}
	f := now.GetFlag().GetFlag()
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: variant}}
	_, err = b.control.UpdateFlag(t.Context(), &controlv1.UpdateFlagRequest{
		Environment: environment, Flag: f, BaseRevision: now.GetFlag().GetRevision(), Reason: "conformance",
	})
	if err != nil {
		t.Fatal(err)
	}
}

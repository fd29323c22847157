package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Whatever is to be written, each call is within the limits, everything is written once,
// and nothing is written before what it needs.
func TestTransactions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 120).Draw(t, "flags")
		flags := make([]*controlv1.FlagWrite, n)
		for i := range flags {
			f := &flagv1.Flag{Key: fmt.Sprint("flag-", i), Description: strings.Repeat("x", rapid.SampledFrom([]int{0, 10, 200_000}).Draw(t, "size"))}
			// Only on later ones: no cycles.
			for range rapid.IntRange(0, 2).Draw(t, "prerequisites") {
				if i+1 < n {
					needed := rapid.IntRange(i+1, n-1).Draw(t, "needed")
					f.Prerequisites = append(f.Prerequisites, &flagv1.Prerequisite{FlagKey: fmt.Sprint("flag-", needed)})
				}
			}
			flags[i] = flagWrite(f, 0)
		}
		segments := make([]*controlv1.SegmentWrite, rapid.IntRange(0, 70).Draw(t, "segments"))
		for i := range segments {
			segments[i] = segmentWrite(&flagv1.Segment{Key: fmt.Sprint("segment-", i)}, 0)
		}

		done := map[string]int{}
		flagSeen, previous := false, 0
		for number, tx := range transactions(segments, flags) {
			if tx.len() == 0 || tx.len() > maxTransaction || tx.len() > 1 && tx.cost > maxTransactionBytes {
				t.Fatalf("transaction %d has %d resources at a cost of %d", number, tx.len(), tx.cost)
			}
			if flagSeen && len(tx.segments) > 0 {
				t.Fatal("a segment is written after a flag")
			}
			flagSeen = flagSeen || len(tx.flags) > 0
			for _, f := range tx.flags {
				done[f.GetFlag().GetKey()]++
				for _, p := range f.GetFlag().GetPrerequisites() {
					if done[p.GetFlagKey()] == 0 {
						t.Fatalf("%s is written before %s, which it needs", f.GetFlag().GetKey(), p.GetFlagKey())
					}
				}
			}
			for _, s := range tx.segments {
				done[s.GetSegment().GetKey()]++
			}
			previous += tx.len()
		}
		if previous != n+len(segments) || len(done) != previous {
			t.Fatalf("%d of %d written, %d different", previous, n+len(segments), len(done))
		}
	})
}

// Flags that need each other share a transaction.
func TestTransactionsKeepGroupsTogether(t *testing.T) {
	t.Parallel()
	var flags []*controlv1.FlagWrite
	for i := range 25 {
		flags = append(flags, flagWrite(&flagv1.Flag{Key: fmt.Sprint("single-", i)}, 0))
	}
	for i := range 10 {
		flags = append(flags, flagWrite(&flagv1.Flag{Key: fmt.Sprint("group-", i), Prerequisites: []*flagv1.Prerequisite{{FlagKey: fmt.Sprint("group-", (i+1)%10)}}}, 0))
	}
	got := transactions(nil, flags)
	if len(got) != 2 || got[0].len() != 25 || got[1].len() != 10 {
		t.Errorf("got %d transactions", len(got))
	}
}

// When a later transaction fails, it is said what was written and what was not.
func TestApplyFailsHalfWay(t *testing.T) {
	t.Parallel()
	writes := 0
	f := &fakeServer{
		apply: func(r *controlv1.ApplyRequest) (*controlv1.ApplyResponse, error) {
			response := &controlv1.ApplyResponse{}
			for _, s := range r.GetSegments() {
				response.Results = append(response.Results, &controlv1.ApplyResult{
					Kind: controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, Key: s.GetSegment().GetKey(), Action: controlv1.Action_ACTION_CREATED,
				})
			}
			if r.GetValidateOnly() {
				return response, nil
			}
			if writes++; writes == 2 {
				return nil, status.Error(codes.Internal, "internal error")
			}
			response.Revision = 7
			return response, nil
		},
	}
	var file strings.Builder
	file.WriteString("apiVersion: tidegate/v1\nsegments:\n")
	for i := range 32 {
		fmt.Fprintf(&file, "  s%02d: {included: [a]}\n", i)
	}
	name := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(name, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := execute(t.Context(), "apply", "-f", name, "-e", "production", "--reason", "x", "--server", f.start(t))
	for _, want := range []string{
		"error: internal error (Internal)\n",
		"written before that: segment s00, segment s01, ",
		"segment s29\nnot written: segment s30, segment s31\n",
		"run the command again when the cause is removed: what is written already stays as it is\n",
	} {
		if code != exitFailure || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, want an error that says %q:\n%s", code, want, stderr)
		}
	}
}

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "flags.yaml")
	for _, content := range []string{"first", "second"} {
		if err := replaceFile(name, 0o600, func(w io.Writer) error { _, err := w.Write([]byte(content)); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := replaceFile(name, 0o600, func(w io.Writer) error {
		_, _ = w.Write([]byte("half"))
		return os.ErrInvalid
	}); err == nil {
		t.Error("the failure got lost")
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != "second" {
		t.Errorf("got %q, %v", got, err)
	}
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What the whole allows and one transaction does not, trying again does not help.
func TestProgressAdvice(t *testing.T) {
	t.Parallel()
	p := &applyPlan{transactions: []*transaction{{results: []*controlv1.ApplyResult{{Key: "a"}}}, {results: []*controlv1.ApplyResult{{Key: "b"}}}}}
	for code, want := range map[codes.Code]string{codes.FailedPrecondition: "apply them in parts", codes.Unavailable: "run the command again"} {
		if got := p.progress(1, code); !strings.Contains(got, want) || !strings.Contains(got, "flag a\nnot written: flag b\n") {
			t.Errorf("%v: %s", code, got)
		}
	}
}

func TestEnables(t *testing.T) {
	t.Parallel()
	change := &controlv1.FieldChange{Path: "enabled", Before: "false", After: "true"}
	r := &controlv1.ApplyResult{Action: controlv1.Action_ACTION_UPDATED, Changes: []*controlv1.FieldChange{{Path: "owner"}, change}}
	if !enables(r) {
		t.Error("false -> true is enabling")
	}
	created := proto.CloneOf(r)
	created.Action = controlv1.Action_ACTION_CREATED
	if change.Before, change.After = "true", "false"; enables(r) || enables(created) {
		t.Error("neither disabling nor creating is enabling")
	}
}

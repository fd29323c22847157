package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// manyFiles are as many as TestFilesAreTheTruth has in a folder.
const manyFiles = 200

// fileText is a file of one flag that serves a variant.
func fileText(n int, variant string) string {
	return fmt.Sprintf("apiVersion: tidegate/v1\nflags:\n  f-%03d:\n    type: string\n    enabled: true\n"+
		"    variants: {red: r, blue: b, green: g}\n    default: %s\n", n, variant)
}

// TestFilesAreTheTruth has a folder of 200 files, and two that follow it: 'tidegate apply --watch',
// which keeps a server as the files say, and a relay that serves the files itself. Whatever becomes
// of the files, both serve the last state that was sound as a whole, tell what is wrong once, with
// file, line and column, and go on when it is mended; and the store is not written to more than
// the files came to rest.
func TestFilesAreTheTruth(t *testing.T) {
	f := followFiles(t)
	f.serve("at first", map[int]string{0: "red", 77: "red", 199: "red"})
	if n := f.writes(); n > (manyFiles+29)/30 {
		t.Errorf("%d transactions for %d flags", n, manyFiles)
	}

	f.save(77, "pink")
	f.save(78, "blue")
	f.tell("a broken file", "077.yaml:7:14: flags[f-077].default: ")
	f.serve("with a broken file", map[int]string{77: "red", 78: "red"})
	f.save(77, "green")
	f.serve("once it is mended", map[int]string{77: "green", 78: "blue"})

	half := fileText(5, "blue")
	f.write(f.file(5), half[:len(half)-25])
	f.tell("a half-written file", "005.yaml:6:")
	f.serve("with half a file", map[int]string{5: "red"})
	f.write(f.file(5), half)
	f.serve("once it is whole", map[int]string{5: "blue"})

	before, began := f.writes(), time.Now()
	for i := range 50 {
		f.save(6, []string{"blue", "green"}[i%2])
		time.Sleep(20 * time.Millisecond) // as fast as it is asked for, not to wait for something
	}
	f.serve("after 50 saves", map[int]string{6: "green"})
	const rest = 400 * time.Millisecond // for which files must have been as they are
	if n, most := f.writes()-before, int(time.Since(began)/rest)+1; n > most {
		t.Errorf("50 saves came to %d transactions; in %v it may be %d", n, time.Since(began), most)
	} else {
		t.Logf("50 saves in %v came to %d transactions", time.Since(began), n)
	}

	f.rename(f.folder, f.folder+"-away")
	f.tell("the folder gone", "no such file or directory")
	f.serve("without the folder", map[int]string{0: "red", 6: "green"})
	f.write(filepath.Join(f.folder+"-away", "000.yaml"), fileText(0, "blue"))
	f.rename(f.folder+"-away", f.folder)
	f.serve("once it is back", map[int]string{0: "blue", 6: "green"})

	f.configMap("..2", "green")
	f.serve("a ConfigMap is updated", map[int]string{300: "green", 301: "green"})

	f.rename(f.file(9), f.file(9)+"~")
	f.save(9, "blue")
	f.remove(f.file(9) + "~")
	f.serve("an editor has saved", map[int]string{9: "blue"})

	f.remove(f.file(10))
	f.serve("a file is deleted", map[int]string{10: ""})
	f.killSwitch()

	if n := strings.Count(f.problems(), "warning: "); n != f.told {
		t.Errorf("%d warnings, want %d:\n%s", n, f.told, f.problems())
	}
}

// killSwitch: the files do not undo it, who used it is told, and what they say besides is applied
// once they say the same.
func (f *filesBed) killSwitch() {
	f.t.Helper()
	f.cli("flag", "disable", "f-020", "-e", "production", "--reason", "errors")
	f.save(21, "blue")
	f.eventually("the kill switch is told", func() error {
		if !strings.Contains(f.problems(), "f-020, which ada turned off at ") {
			return fmt.Errorf("told is:\n%s", f.problems())
		}
		return nil
	})
	f.told++
	out, code := f.command("apply", "-f", f.folder, "-e", "production", "--source", "all", "--prune", "--dry-run")
	if code == 0 || !strings.Contains(out, "here it was disabled by ada at ") {
		f.t.Errorf("the drift is not shown: %d\n%s", code, out)
	}
	f.write(f.file(20), strings.Replace(fileText(20, "red"), "enabled: true", "enabled: false", 1))
	f.serve("the files say what the kill switch did", map[int]string{20: "", 21: "blue"})
	if out := f.cli("flag", "list", "--prefix", "f-02"); !strings.Contains(out, "FILES") || !strings.Contains(out, "all") {
		f.t.Errorf("it is not shown what is kept in files:\n%s", out)
	}
}

// filesBed is a folder and who follows it.
type filesBed struct {
	t      *testing.T
	folder string
	server *bed.Server
	// readyz is of the relay that serves the files.
	readyz string
	// clients of the relay that follows the server, and of the one that serves the files.
	relays        map[string]evaluationv1.EvaluationServiceClient
	trail         controlv1.AuditServiceClient
	stderrOfWatch *lines
	// told is how many problems there were.
	told int
}

func followFiles(t *testing.T) *filesBed {
	t.Helper()
	f := &filesBed{t: t, folder: filepath.Join(t.TempDir(), "flags"), relays: make(map[string]evaluationv1.EvaluationServiceClient), stderrOfWatch: &lines{}}
	for n := range manyFiles {
		f.save(n, "red")
	}
	f.configMap("..1", "red")

	f.server = bed.NewServer(t, bin, "--data-dir", t.TempDir())
	f.server.Start()
	f.trail = controlv1.NewAuditServiceClient(bed.Dial(t, f.server.GRPC))
	f.cli("environment", "set", "production", "--file-source", "all", "--file-prefix", "", "--reason", "in git")
	following := bed.NewRelay(t, bin, f.server.GRPC, t.TempDir())
	following.Start()
	f.relays["production"] = evaluationv1.NewEvaluationServiceClient(bed.Dial(t, following.GRPC))

	a := bed.FreeAddrs(t, 4)
	serving := bed.NewProcess(t, bin, a[2], "tidegate-relay", "--file", f.folder, "--grpc-addr", a[0], "--http-addr", a[1],
		"--management-addr", a[2], "--flagd-sync-addr", a[3], "--state-dir", t.TempDir())
	serving.Start()
	f.relays["default"], f.readyz = evaluationv1.NewEvaluationServiceClient(bed.Dial(t, a[0])), "http://"+a[2]+"/readyz"

	f.watch()
	return f
}

// watch starts 'tidegate apply --watch', until the test ends.
func (f *filesBed) watch() {
	f.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "tidegate"), "apply", "-f", f.folder, "-e", "production", "--source", "all", "--prune", "--watch", "--reason", "as in git")
	cmd.Env = append(os.Environ(), "TIDEGATE_SERVER="+f.server.GRPC, "USER=robot", "NO_COLOR=1")
	out := &lines{}
	cmd.Stdout, cmd.Stderr = out, f.stderrOfWatch
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			f.t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			f.t.Errorf("apply --watch ended with %v", err)
		}
		if f.t.Failed() {
			f.t.Logf("apply --watch said:\n%s\nand:\n%s", out, f.stderrOfWatch)
		}
	})
}

func (f *filesBed) problems() string { return f.stderrOfWatch.String() }

func (f *filesBed) eventually(what string, try func() error) {
	f.t.Helper()
	bed.Eventually(f.t, what, try)
}

func (f *filesBed) command(args ...string) (string, int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), filepath.Join(bin, "tidegate"), args...)
	cmd.Env = append(os.Environ(), "TIDEGATE_SERVER="+f.server.GRPC, "USER=ada", "NO_COLOR=1")
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

func (f *filesBed) cli(args ...string) string {
	f.t.Helper()
	out, code := f.command(args...)
	if code != 0 {
		f.t.Fatalf("tidegate %v: %d\n%s", args, code, out)
	}
	return out
}

// serve waits until both relays serve variants, by the numbers of flags; "": nothing. What they
// serve wrongly they would have served before: the files were told as broken by then.
func (f *filesBed) serve(when string, variants map[int]string) {
	f.t.Helper()
	for environment, relay := range f.relays {
		for n, want := range variants {
			key := fmt.Sprintf("f-%03d", n)
			f.eventually(fmt.Sprintf("%s, %s is %q in %s", when, key, want, environment), func() error {
				ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
				defer cancel()
				r, err := relay.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: environment, FlagKey: key})
				if err == nil && r.GetVariant() != want {
					err = fmt.Errorf("serves %q", r.GetVariant())
				}
				return err
			})
		}
	}
}

// tell waits until both have told a problem, the watch once and the relay alone.
func (f *filesBed) tell(what, problem string) {
	f.t.Helper()
	f.told++
	f.eventually("apply --watch tells of "+what, func() error {
		if !strings.Contains(f.problems(), problem) {
			return fmt.Errorf("told is:\n%s", f.problems())
		}
		return nil
	})
	f.eventually("the relay tells of "+what, func() error {
		resp, err := http.Get(f.readyz)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var body struct {
			Ready bool
			File  struct{ Problems []string }
		}
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			return err
		}
		if p := body.File.Problems; !body.Ready || len(p) != 1 || !strings.Contains(p[0], problem) {
			return fmt.Errorf("it says %+v", body)
		}
		return nil
	})
}

// writes counts the transactions that have written flags.
func (f *filesBed) writes() int {
	f.t.Helper()
	revisions := make(map[int64]bool)
	for token := ""; ; {
		page, err := f.trail.ListEntries(f.t.Context(), &controlv1.ListEntriesRequest{
			Environment: "production", Filter: &controlv1.EntryFilter{Kinds: []controlv1.ResourceKind{controlv1.ResourceKind_RESOURCE_KIND_FLAG}},
			PageSize: 100, PageToken: token,
		})
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range page.GetEntries() {
			revisions[e.GetRevision()] = true
		}
		if token = page.GetNextPageToken(); token == "" {
			return len(revisions)
		}
	}
}

func (f *filesBed) file(n int) string { return filepath.Join(f.folder, fmt.Sprintf("%03d.yaml", n)) }

// save writes a file as most programs do, in place.
func (f *filesBed) save(n int, variant string) { f.write(f.file(n), fileText(n, variant)) }

func (f *filesBed) write(path, text string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *filesBed) rename(from, to string) {
	f.t.Helper()
	if err := os.Rename(from, to); err != nil {
		f.t.Fatal(err)
	}
}

func (f *filesBed) remove(path string) {
	f.t.Helper()
	if err := os.Remove(path); err != nil {
		f.t.Fatal(err)
	}
}

// configMap writes two files as Kubernetes does: links through '..data', which is swapped.
func (f *filesBed) configMap(version, variant string) {
	f.t.Helper()
	mounted := filepath.Join(f.folder, "mounted")
	data, next := filepath.Join(mounted, "..data"), filepath.Join(mounted, "..next")
	for _, n := range []int{300, 301} {
		name := fmt.Sprintf("%03d.yaml", n)
		f.write(filepath.Join(mounted, version, name), fileText(n, variant))
		if _, err := os.Lstat(filepath.Join(mounted, name)); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(mounted, name)); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := os.Symlink(version, next); err != nil {
		f.t.Fatal(err)
	}
	f.rename(next, data)
}

// lines is what a process writes.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

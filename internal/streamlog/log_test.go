package streamlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

var epoch = snapshot.Epoch{Counter: 1, Random: 0xc0ffee}

// TestSum: the digests were computed by hand, from the definition in sync.proto.
func TestSum(t *testing.T) {
	a, b := Of(1, "checkout", 7, []byte{10, 1}), Of(2, "staff", 1<<40, nil)
	if a.String() != "f9fdfd791f70de28e9057e0c78fb3122" || a.Plus(b).String() != "c982c408a97e9703f684ddb6dc1f6450" {
		t.Errorf("%s, and with another %s", a, a.Plus(b))
	}
	if a.Plus(b).Minus(a) != b || a.Minus(b).Plus(b) != a {
		t.Error("plus and minus are not each other's opposite")
	}
}

// TestHeld holds the digest to the one that snapshots keep up to date.
func TestHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := snapshot.New("production", epoch)
		for revision := range rapid.Int64Range(1, 20).Draw(t, "changes") {
			key := rapid.StringN(1, 3, -1).Draw(t, "key")
			item := snapshot.Item{Kind: syncv1.Kind(rapid.Int32Range(7, 9).Draw(t, "kind")), Key: key, ModRevision: revision + 1, Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data")}
			s, _ = s.Next(revision+1, []snapshot.Item{item}, nil)
			if rapid.Bool().Draw(t, "delete") {
				s, _ = s.Next(revision+1, nil, []snapshot.ID{item.ID()})
			}
			if held(s).String() != s.Cursor().Digest.String() {
				t.Fatalf("%s, the snapshot says %s", held(s), s.Cursor().Digest)
			}
		}
	})
}

func open(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func read(t *testing.T, path string) []Record {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records, err := Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// before sees, when a thing is about to be shown, what is shown and what is in the file.
type before struct {
	*Log
	t       *testing.T
	path    string
	replica *replica.Replica
}

func (b *before) Showing(v replica.View) {
	shown := b.replica.Snapshot()
	b.Log.Showing(v)
	if b.replica.Snapshot() != shown || shown != nil && shown == v.Snapshot && v.Event != replica.Confirmed {
		b.t.Errorf("%v is shown already", v.Event)
	}
	records := read(b.t, b.path)
	if last := records[len(records)-1]; *last.Cursor != *cursor(v.Snapshot.Cursor()) {
		b.t.Errorf("the file ends with %v", last)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	b := &before{Log: open(t, path), t: t, path: path}
	b.Begin(Process{Instance: "relay-1", Kind: "relay", Environments: []string{"production"}})
	r := replica.NewSet(replica.Options{Observer: b}).Add("production")
	b.replica = r

	item := snapshot.Item{Kind: 7, Key: "a", ModRevision: 1, Data: []byte("x")}
	one, _ := snapshot.New("production", epoch).Next(1, []snapshot.Item{item}, nil)
	r.Restore(one, time.Hour)
	r.Restore(one, 0) // comes too late
	r.Observe(5, time.Minute)
	r.Observe(5, time.Second)
	item.ModRevision = 6
	two, d := r.Snapshot().Next(6, []snapshot.Item{item}, nil)
	if err := r.Publish(two, d); err != nil {
		t.Fatal(err)
	}
	three, d := two.Next(7, nil, []snapshot.ID{item.ID()})
	if err := r.Publish(three, d); err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(three, d); err == nil {
		t.Fatal("it was published twice")
	}
	anew, _ := snapshot.New("production", snapshot.Epoch{Counter: 2}).Next(1, nil, nil)
	if err := r.Publish(anew, anew.Full()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}

	records := read(t, path)
	want := []struct {
		event  Event
		source string
		age    time.Duration
	}{
		{Start, "", 0},
		{Restore, FromDisk, time.Hour},
		{Advance, FromStore, time.Minute},
		{Confirm, FromStore, time.Second},
		{Delta, FromStore, time.Second},
		{Delta, FromStore, time.Second},
		{Full, FromArrival, 0},
		{End, "", 0},
	}
	if len(records) != len(want) {
		t.Fatalf("records:\n%v", records)
	}
	for i, w := range want {
		r := records[i]
		over := time.Duration(r.Age) - w.age
		if r.Event != w.event || r.AgeFrom != w.source || over < 0 || over > time.Minute || r.Sequence != uint64(i)+1 || r.Mono == 0 || r.Run != records[0].Run {
			t.Errorf("record %d: %v", i, r)
		}
		if r.Cursor != nil && r.Held != r.Cursor.Digest {
			t.Errorf("record %d: it holds %s", i, r.Held)
		}
	}
	if put, del := records[4], records[5]; len(put.Puts) != 1 || put.Puts[0] != (Item{7, "a", 6}) || put.Base.Revision != 5 ||
		len(del.Deletes) != 1 || del.Deletes[0] != (Item{7, "a", 6}) || len(del.Puts) != 0 {
		t.Errorf("changes:\n%v\n%v", put, del)
	}
	if records[0].Process.Instance != "relay-1" {
		t.Errorf("start: %v", records[0])
	}
}

type fakeJournal struct{ appendErr, syncErr error }

func (j *fakeJournal) Append(*snapshot.Snapshot, snapshot.Delta) error { return j.appendErr }
func (j *fakeJournal) Sync(string) error                               { return j.syncErr }
func (j *fakeJournal) Forget(string) error                             { return nil }

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path)
	l.Begin(Process{Instance: "relay-1"})
	j := &fakeJournal{}
	o := follower.Options{Journal: j}
	l.Follow(&o)
	s, d := snapshot.New("production", epoch).Next(1, []snapshot.Item{{Kind: 7, Key: "a", ModRevision: 1}}, nil)
	j.appendErr = errors.New("disk full")
	if err := o.Journal.Append(s, d); !errors.Is(err, j.appendErr) {
		t.Error(err)
	}
	j.appendErr = nil
	if err := errors.Join(o.Journal.Append(s, d), o.Journal.Sync("production")); err != nil {
		t.Error(err)
	}
	o.Observer.Acknowledging(s)
	o.Observer.Resuming(s.Full())
	o.Observer.Resuming(d)
	o.Observer.Resuming(snapshot.Delta{Environment: "production", Base: s.Cursor(), Target: s.Advance(9).Cursor()})
	records := read(t, path)[1:]
	var got []string
	for _, r := range records {
		got = append(got, string(r.Event)+r.Mode+r.Error)
	}
	if s := strings.Join(got, " "); s != "appenddisk full append sync ack resumefull resumedelta resumenone" {
		t.Errorf("records: %s", s)
	}
	if records[2].Covers != records[1].Sequence {
		t.Errorf("sync: %v", records[2])
	}

	var none follower.Options
	l.Follow(&none)
	if none.Journal != nil {
		t.Error("a follower without a journal got one")
	}
}

func TestNoLog(t *testing.T) {
	l, err := Open("", zerolog.Nop())
	if err != nil || l != nil {
		t.Fatal(l, err)
	}
	if l.Observer() != nil {
		t.Error("it observes")
	}
	l.Begin(Process{})
	var o follower.Options
	if l.Follow(&o); o.Observer != nil {
		t.Error("it follows")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenFails(t *testing.T) {
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "no", "log")} {
		if l, err := Open(path, zerolog.Nop()); err == nil {
			t.Errorf("%s was opened: %v", path, l.Close())
		}
	}
}

// TestKilled: a process was killed while it wrote, and starts again.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	open(t, path).Begin(Process{Instance: "a"})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(data) - 1 { // the last byte ends a record that is whole
		if err := os.WriteFile(path, append(data[:len(data):len(data)], data[:cut]...), 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, path)
		l.Begin(Process{Instance: "a"})
		if records := read(t, path); len(records) != 2 || records[1].Run != l.run {
			t.Fatalf("cut at %d: %v", cut, records)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// failing writes half of what it is given, then nothing, then works again.
type failing struct {
	bytes.Buffer
	left int
}

func (f *failing) Write(p []byte) (int, error) {
	if f.left--; f.left == 1 {
		n, _ := f.Buffer.Write(p[:len(p)/2])
		return n, errors.New("disk full")
	}
	if f.left == 0 {
		return 0, errors.New("disk full")
	}
	return f.Buffer.Write(p)
}

func (f *failing) Close() error { return nil }

func TestDiskFull(t *testing.T) {
	var logged bytes.Buffer
	f := &failing{left: 3}
	l := &Log{run: "r", file: f, logger: zerolog.New(&logged)}
	for range 4 {
		l.Begin(Process{Instance: "a"})
	}
	if n := strings.Count(logged.String(), "has a gap"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &logged)
	}
	records, err := Read(bytes.NewReader(f.Bytes()))
	if err != nil || len(records) != 2 || records[1].Sequence != 4 {
		t.Errorf("%v, %v", records, err)
	}
}

func TestRead(t *testing.T) {
	start := `{"n":1,"run":"r","event":"start","process":{"instance":"a"}}` + "\n"
	purge := `{"n":2,"run":"r","event":"purge","environment":"e"}` + "\n"
	for name, tc := range map[string]struct {
		log     string
		records int
		bad     bool
	}{
		"empty":               {"", 0, false},
		"two":                 {start + purge, 2, false},
		"torn at the end":     {start + purge[:9], 1, false},
		"no newline":          {start + strings.TrimSpace(purge), 2, false},
		"torn before a start": {start + purge[:9] + "\n" + start, 2, false},
		"empty lines":         {start + "\n\n" + purge, 2, false},
		"torn in between":     {start + purge[:9] + "\n" + purge, 1, true},
		"torn twice":          {start + purge[:9] + "\n" + purge[:9] + "\n" + start, 1, true},
		"unknown field":       {start + `{"n":2,"event":"purge","environment":"e","x":1}` + "\n" + purge, 1, true},
		"unknown event":       {start + `{"n":2,"event":"x","environment":"e"}` + "\n" + purge, 1, true},
		"two in a line":       {start + strings.TrimSpace(purge) + purge + purge, 1, true},
		"no environment":      {start + `{"n":2,"event":"purge"}` + "\n" + purge, 1, true},
		"no instance":         {`{"n":1,"event":"start"}` + "\n" + purge, 0, true},
		"no cursor":           {start + `{"n":2,"event":"full","environment":"e"}` + "\n" + purge, 1, true},
		"no base":             {start + `{"n":2,"event":"delta","environment":"e","cursor":{}}` + "\n" + purge, 1, true},
		"resume without mode": {start + `{"n":2,"event":"resume","environment":"e","cursor":{}}` + "\n" + purge, 1, true},
	} {
		records, err := Read(strings.NewReader(tc.log))
		if len(records) != tc.records || tc.bad != errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %d records, %v", name, len(records), err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"n":1,"run":"r","event":"start","process":{"instance":"a"}}` + "\n" + `{"n":2,"event":"purge","environment":"e"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, r := range records {
			again.WriteString(r.String() + "\n")
		}
		if reread, err := Read(&again); err != nil || len(reread) != len(records) {
			t.Fatalf("%d of %d records are read again: %v", len(reread), len(records), err)
		}
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

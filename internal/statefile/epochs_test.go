package statefile

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestLeftEpochs(t *testing.T) {
	m := newMemFiles()
	reopen := func() *Dir { return open(m, lockless{}, zerolog.Nop(), time.Hour) }
	d := reopen()
	expect := func(what string, want ...snapshot.Epoch) {
		t.Helper()
		if got, err := d.LeftEpochs(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	set := func(list ...snapshot.Epoch) {
		t.Helper()
		if err := d.SetLeftEpochs(list); err != nil {
			t.Fatal(err)
		}
	}
	expect("at first")
	one, two := snapshot.Epoch{Counter: 1, Random: 11}, snapshot.Epoch{Counter: 2, Random: 1 << 63}
	set(one)
	set(one, two)
	expect("before a restart", one, two)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.SetLeftEpochs(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed directory: %v", err)
	}
	d = reopen()
	defer func() { _ = d.Close() }()
	expect("after a restart", one, two)

	m.Names[epochsFile].Data[magicSize+frameHeaderSize] ^= 1
	expect("damaged")
	if got := d.Stats(); got.SetAside != 1 || m.Names[aside(epochsFile)] == nil {
		t.Errorf("what is damaged is not set aside: %+v", got)
	}
	set(two)
	expect("after the damage", two)
}

func FuzzEpochs(f *testing.F) {
	whole := appendEpochs([]byte(epochsMagic), []snapshot.Epoch{{Counter: 1, Random: 2}, {Counter: 3, Random: 4}})
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(appendEpochs(slices.Clone(whole), nil))
	f.Add(appendFrame([]byte(epochsMagic), []byte("odd")))
	f.Add([]byte(epochsMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := readEpochs(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, errDamaged) && !errors.Is(err, errTorn) {
				t.Fatalf("a reader that cannot fail: %v", err)
			}
			return
		}
		if again := appendEpochs([]byte(epochsMagic), list); !bytes.Equal(again, data) {
			t.Fatalf("%x was read, %x written", data, again)
		}
	})
}

package clientsdk_test

import (
	"context"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/clientsdk"
)

// TestRevoked: a client whose environment is revoked serves defaults, says so, keeps
// nothing on disk, and is ready again when it is granted again.
func TestRevoked(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", true), boolean("b", false))
	dir := t.TempDir()
	c := inProcess(t, u.addr, clientsdk.WithStateDir(dir))
	changes, states := make(chan []string, 10), make(chan clientsdk.State, 10)
	c.OnChange(func(keys []string) { changes <- keys })
	c.OnState(func(s clientsdk.Status) { states <- s.State })

	u.replicas.Replica(production).Purge()
	if s := receive(t, "the state", states); s != clientsdk.StateNotReady {
		t.Errorf("state %s", s)
	}
	if keys := receive(t, "the change", changes); !reflect.DeepEqual(keys, []string{"a", "b"}) {
		t.Errorf("changed: %v", keys)
	}
	if c.IsEnabled(context.Background(), "a", clientsdk.Context{}) {
		t.Error("a revoked flag is on")
	}
	d := c.BooleanDetails(context.Background(), "a", clientsdk.Context{}, true)
	if d.ErrorCode != clientsdk.ErrorProviderNotReady || !strings.Contains(d.ErrorMessage, "revoked") || !d.Value {
		t.Errorf("details %+v", d)
	}
	eventually(t, "nothing on disk", func() bool {
		files, err := os.ReadDir(dir)
		for _, f := range files {
			if strings.HasPrefix(f.Name(), production) {
				return false
			}
		}
		return err == nil
	})

	u.put(boolean("a", true))
	if err := c.WaitReady(patiently(t)); err != nil {
		t.Fatal(err)
	}
	if s := receive(t, "the state", states); s != clientsdk.StateReady {
		t.Errorf("state %s", s)
	}
	if keys := receive(t, "the change", changes); !reflect.DeepEqual(keys, []string{"a"}) {
		t.Errorf("changed: %v", keys)
	}
	if !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) {
		t.Error("a granted flag is off")
	}
}

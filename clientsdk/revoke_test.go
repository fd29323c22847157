package clientsdk_test

import (
	"context"
	"os"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/clientsdk"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
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

// TestNewEpoch: a store that was restored reaches the client, at a lower revision, and
// all its flags have changed.
func TestNewEpoch(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", true), boolean("gone", true))
	u.put(boolean("a", false), boolean("gone", true))
	c := inProcess(t, u.addr)
	changes := make(chan []string, 10)
	c.OnChange(func(keys []string) { changes <- keys })
	data, err := proto.Marshal(boolean("a", true))
	if err != nil {
		t.Fatal(err)
	}
	restored, _ := snapshot.New(production, snapshot.Epoch{Counter: 2, Random: 8}).Next(1, []snapshot.Item{
		{Kind: syncv1.Kind_KIND_FLAG, Key: "a", ModRevision: 1, Data: data},
	}, nil)
	if err := u.replicas.Replica(production).Publish(restored, restored.Full()); err != nil {
		t.Fatal(err)
	}
	if keys := receive(t, "the change", changes); !reflect.DeepEqual(keys, []string{"a", "gone"}) {
		t.Errorf("changed: %v", keys)
	}
	if s := c.Status(); s.Revision != 1 || !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) ||
		c.IsEnabled(context.Background(), "gone", clientsdk.Context{}) {
		t.Errorf("status %+v", s)
	}
}

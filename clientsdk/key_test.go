package clientsdk_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/clientsdk"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestKey: where keys are required, a client follows with a key, from a file too, and says
// why it cannot without one.
func TestKey(t *testing.T) {
	u := newUpstream(t)
	u.kill()
	u.requireKeys = true
	u.start()
	secret, p := accesskey.New()
	data, err := proto.Marshal(&accessv1.Key{Id: p.ID, SecretHash: p.Hash(), Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	u.publish(1, []snapshot.Item{{Kind: syncv1.Kind_KIND_KEY, Key: p.ID, ModRevision: 1, Data: data}})
	u.put(boolean("a", true))
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]clientsdk.InProcessOption{
		"a key": clientsdk.WithKey(secret), "a key file": clientsdk.WithKeyFile(file),
	} {
		c := inProcess(t, u.addr, option)
		if !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) {
			t.Errorf("with %s: %v", name, c.Status().Err)
		}
	}
	for name, option := range map[string]clientsdk.InProcessOption{
		"a key is required":  clientsdk.WithRegion("none"),
		"no such file":       clientsdk.WithKeyFile(file + "-not"),
		"not a key's secret": clientsdk.WithKeyFile(os.Args[0]),
	} {
		c := inProcess(t, u.addr, option, clientsdk.WithStartTimeout(time.Millisecond))
		eventually(t, "it says why: "+name, func() bool {
			err := c.Status().Err
			return err != nil && strings.Contains(err.Error(), name)
		})
	}
}

func TestKeyOptions(t *testing.T) {
	secret, _ := accesskey.New()
	for want, options := range map[string][]clientsdk.InProcessOption{
		"key: not a key's secret":               {clientsdk.WithKey(secret[1:])},
		"key and key file: want one of the two": {clientsdk.WithKey(secret), clientsdk.WithKeyFile("f")},
	} {
		_, err := clientsdk.NewInProcess(t.Context(), "127.0.0.1:1", production, options...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret[17:]) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

package clientsdk_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/clientsdk"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// authorization is what a call presents.
func authorization(ctx context.Context) string {
	return strings.Join(metadata.ValueFromIncomingContext(ctx, accesskey.Header), ", ")
}

// TestRemoteKey: a remote client presents its key with each evaluation, and another one soon
// after that is in the file; what the relay says of it is in the answer.
func TestRemoteKey(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	var good atomic.Value
	f.set(func() {
		f.intercept = func(ctx context.Context, _ *evaluationv1.EvaluateRequest) error {
			if got := authorization(ctx); got != good.Load() {
				return status.Error(codes.PermissionDenied, "this key was revoked")
			}
			return nil
		}
	})
	remoteModes(t, func(t *testing.T, options ...clientsdk.RemoteOption) {
		first, _ := accesskey.New()
		second, _ := accesskey.New()
		good.Store("Bearer " + first)
		file := filepath.Join(t.TempDir(), "key")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(first + "\n")
		fixed := remote(t, f.addr, append(options, clientsdk.WithKey(first))...)
		replaced := remote(t, f.addr, append(options, clientsdk.WithKeyFile(file))...)
		for name, c := range map[string]clientsdk.Client{"a key": fixed, "a key file": replaced} {
			if r := c.BooleanDetails(context.Background(), "a", clientsdk.Context{}, false); r.ErrorCode != "" {
				t.Errorf("with %s: %s", name, r.ErrorMessage)
			}
		}
		write("half of i") // and the rest of it a moment later
		good.Store("Bearer " + second)
		write(second)
		eventually(t, "the other key is presented", func() bool {
			r := replaced.BooleanDetails(context.Background(), "a", clientsdk.Context{}, false)
			return r.ErrorCode == ""
		})
		r := fixed.BooleanDetails(context.Background(), "a", clientsdk.Context{}, true)
		if r.ErrorCode == "" || !strings.Contains(r.ErrorMessage, "this key was revoked") || strings.Contains(r.ErrorMessage, first) {
			t.Errorf("with the key of before: %+v", r)
		}
		none := remote(t, f.addr, append(options, clientsdk.WithKeyFile(file+"-not"))...)
		if r := none.BooleanDetails(context.Background(), "a", clientsdk.Context{}, true); !strings.Contains(r.ErrorMessage, "no such file") {
			t.Errorf("without the file: %+v", r)
		}
	})
}

// TestRemoteTrackingKey: what is tracked is told with the key.
func TestRemoteTrackingKey(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	secret, _ := accesskey.New()
	c := remote(t, f.addr, clientsdk.WithKey(secret))
	c.TrackEvent(context.Background(), "errors", clientsdk.Context{}, true)
	if err := c.Flush(patiently(t)); err != nil {
		t.Fatal(err)
	}
	if got := f.telemetry.presented(); got != "Bearer "+secret {
		t.Errorf("presented %q", got)
	}
}

func TestRemoteKeyOptions(t *testing.T) {
	secret, _ := accesskey.New()
	for want, options := range map[string][]clientsdk.RemoteOption{
		"key: not a key's secret":               {clientsdk.WithKey(secret[1:])},
		"key and key file: want one of the two": {clientsdk.WithKey(secret), clientsdk.WithKeyFile("f")},
	} {
		_, err := clientsdk.NewRemote("127.0.0.1:1", production, options...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret[17:]) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

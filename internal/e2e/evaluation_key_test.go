package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestEvaluationKeys: a client's key at a relay, and at one behind it. It evaluates what is marked
// for clients, also while the relays are cut off; both of its secrets are good while a rotation
// overlaps; and it opens nothing within a second of being revoked, not even what was open.
// Nothing logs a secret.
func TestEvaluationKeys(t *testing.T) {
	srv := bed.NewServer(t, bin, "--data-dir", t.TempDir(), "--require-keys", "--log-level", "debug")
	srv.Start()
	keys := controlv1.NewKeyServiceClient(bed.Dial(t, srv.GRPC))
	create := func(role accessv1.Role) *controlv1.CreateKeyResponse {
		t.Helper()
		r, err := keys.CreateKey(t.Context(), &controlv1.CreateKeyRequest{
			Name: role.String(), Environments: []string{"production"}, Role: role, Reason: "test", RequestId: uuid.NewString(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ofRelays, client := create(accessv1.Role_ROLE_RELAY), create(accessv1.Role_ROLE_SDK_CLIENT)
	_, err := controlv1.NewFlagServiceClient(bed.Dial(t, srv.GRPC)).Apply(t.Context(), &controlv1.ApplyRequest{
		Environment: "production", Reason: "test", Flags: []*controlv1.FlagWrite{{Flag: ruled("shown", true)}, {Flag: ruled("dark", false)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(ofRelays.GetSecret()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	relay := func(upstream string) *bed.Relay {
		r := bed.NewRelay(t, bin, upstream, t.TempDir())
		r.AddArgs("--key-file", file, "--require-keys", "--log-level", "debug")
		r.Start()
		return r
	}
	near := relay(srv.GRPC)
	relays := map[string]*bed.Relay{"the relay": near, "the relay behind it": relay(near.GRPC)}
	ask := func(at *bed.Relay, secret, flag string) (*evaluationv1.EvaluateResponse, error) {
		return evaluationv1.NewEvaluationServiceClient(bed.Dial(t, at.GRPC)).Evaluate(presenting(t, secret), &evaluationv1.EvaluateRequest{FlagKey: flag})
	}
	answered := func(secret string) {
		t.Helper()
		for name, r := range relays {
			bed.Eventually(t, name+" answers", func() error { _, err := ask(r, secret, "shown"); return err })
			if a, err := ask(r, secret, "shown"); err != nil || !a.GetBoolValue() || a.GetRule() != "" {
				t.Errorf("%s: %v, %v", name, a, err)
			}
			if a, err := ask(r, secret, "dark"); err != nil || a.GetErrorCode() != "FLAG_NOT_FOUND" {
				t.Errorf("%s, what is not marked for clients: %v, %v", name, a, err)
			}
		}
	}
	answered(client.GetSecret())
	for name, r := range relays {
		if _, err := ask(r, "", "shown"); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s without a key: %v", name, err)
		}
		if _, err := openKeyStream(t, r.GRPC, client.GetSecret()).next(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s, a client that follows: %v", name, err)
		}
	}

	rotated, err := keys.RotateKey(t.Context(), &controlv1.RotateKeyRequest{
		KeyId: client.GetKey().GetKey().GetId(), Overlap: durationpb.New(time.Hour), BaseRevision: client.GetKey().GetRevision(), Reason: "test", RequestId: uuid.NewString(),
	})
	if err != nil {
		t.Fatal(err)
	}
	answered(rotated.GetSecret())
	answered(client.GetSecret())
	again, err := keys.RotateKey(t.Context(), &controlv1.RotateKeyRequest{
		KeyId: client.GetKey().GetKey().GetId(), Overlap: durationpb.New(0), BaseRevision: rotated.GetKey().GetRevision(), Reason: "test", RequestId: uuid.NewString(),
	})
	if err != nil {
		t.Fatal(err)
	}
	answered(again.GetSecret())
	for name, r := range relays {
		for _, secret := range []string{client.GetSecret(), rotated.GetSecret()} {
			if _, err := ask(r, secret, "shown"); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s, a secret of before: %v", name, err)
			}
		}
	}

	watches := map[string]func() (*evaluationv1.WatchResponse, error){}
	for name, r := range relays {
		watch, err := evaluationv1.NewEvaluationServiceClient(bed.Dial(t, r.GRPC)).Watch(presenting(t, again.GetSecret()), &evaluationv1.WatchRequest{})
		if err == nil {
			_, err = watch.Recv()
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		watches[name] = watch.Recv
	}
	if _, err := keys.RevokeKey(t.Context(), &controlv1.RevokeKeyRequest{KeyId: client.GetKey().GetKey().GetId(), Reason: "lost", RequestId: uuid.NewString()}); err != nil {
		t.Fatal(err)
	}
	committed := time.Now()
	for name, recv := range watches {
		for err = nil; err == nil; {
			_, err = recv()
		}
		took := time.Since(committed)
		if status.Code(err) != codes.PermissionDenied || took > time.Second {
			t.Errorf("%s: the watch ends after %v with %v", name, took, err)
		}
		t.Logf("%s: cut off %v after the commit", name, took.Round(time.Millisecond))
		if _, err := ask(relays[name], again.GetSecret(), "shown"); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s with the revoked key: %v", name, err)
		}
	}

	other := create(accessv1.Role_ROLE_SDK_CLIENT)
	answered(other.GetSecret())
	srv.Kill()
	answered(other.GetSecret())
	for name, r := range relays {
		if _, err := ask(r, again.GetSecret(), "shown"); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s, cut off, with the revoked key: %v", name, err)
		}
	}
	for _, p := range []*bed.Process{srv.Process, near.Process, relays["the relay behind it"].Process} {
		for _, secret := range []string{ofRelays.GetSecret(), client.GetSecret(), rotated.GetSecret(), again.GetSecret(), other.GetSecret()} {
			if strings.Contains(p.Log(), secret[17:]) {
				t.Errorf("%s logs a secret", p.Name())
			}
		}
	}
}

// presenting is a context of calls that present a secret; empty: none.
func presenting(t *testing.T, secret string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*bed.Patience)
	t.Cleanup(cancel)
	if secret == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
}

// ruled is a flag whose rule serves on to everybody.
func ruled(key string, visible bool) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, ClientVisible: visible,
		Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
		Rules:    []*flagv1.Rule{{Id: "everybody", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}}}},
	}
}

// TestRotatedTooSoon: a relay whose secret was rotated away before it had the new one keeps what
// it has, answers, and follows again once the new one is in its file.
func TestRotatedTooSoon(t *testing.T) {
	srv := bed.NewServer(t, bin, "--data-dir", t.TempDir(), "--require-keys")
	srv.Start()
	keys, flags := controlv1.NewKeyServiceClient(bed.Dial(t, srv.GRPC)), controlv1.NewFlagServiceClient(bed.Dial(t, srv.GRPC))
	created, err := keys.CreateKey(t.Context(), &controlv1.CreateKeyRequest{Name: "relay", Environments: []string{"production"}, Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := flags.CreateFlag(t.Context(), &controlv1.CreateFlagRequest{Environment: "production", Flag: ruled("a", false), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	write := func(secret string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(created.GetSecret())
	relay := bed.NewRelay(t, bin, srv.GRPC, t.TempDir())
	relay.AddArgs("--key-file", file)
	relay.Start()
	asks := evaluationv1.NewEvaluationServiceClient(bed.Dial(t, relay.GRPC))
	variant := func(key string) string {
		a, err := asks.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: key})
		if err != nil {
			return err.Error()
		}
		return a.GetVariant()
	}
	is := func(key, want string) func() error {
		return func() error {
			if got := variant(key); got != want {
				return fmt.Errorf("%s is %q", key, got)
			}
			return nil
		}
	}
	connected := func(want float64) func() error {
		return func() error {
			if got, err := relay.Metric("tidegate_follower_connected", ""); err != nil || got != want {
				return fmt.Errorf("%v, %w", got, err)
			}
			return nil
		}
	}
	bed.Eventually(t, "the relay has the flag", is("a", "on"))
	rotated, err := keys.RotateKey(t.Context(), &controlv1.RotateKeyRequest{
		KeyId: created.GetKey().GetKey().GetId(), Overlap: durationpb.New(0), BaseRevision: created.GetKey().GetRevision(), Reason: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	bed.Eventually(t, "the relay is sent away", connected(0))
	if _, err := flags.CreateFlag(t.Context(), &controlv1.CreateFlagRequest{Environment: "production", Flag: ruled("b", false), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if got := variant("a"); got != "on" {
		t.Errorf("without a good secret the relay answers %s", got)
	}
	write(rotated.GetSecret())
	bed.Eventually(t, "the relay follows again", is("b", "on"))
	if err := connected(1)(); err != nil {
		t.Error(err)
	}
}

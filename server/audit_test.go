package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestWhoReadsTrails: a trail is shown to who may see what is in it.
func TestWhoReadsTrails(t *testing.T) {
	a := newAsking(t)
	trails := controlv1.NewAuditServiceClient(a.conn)
	viewer, _ := a.service("viewer", &accessv1.Grant{Role: accessv1.Role_ROLE_VIEWER, Environments: []string{"dev"}})
	team, _ := a.service("team", &accessv1.Grant{Role: accessv1.Role_ROLE_EDITOR, Environments: []string{"dev"}, KeyPrefixes: []string{"checkout-"}})
	keeper, _ := a.service("keeper", &accessv1.Grant{Role: accessv1.Role_ROLE_ADMINISTRATOR, Environments: []string{"dev"}})
	if _, err := a.flags.CreateFlag(a.admin, &controlv1.CreateFlagRequest{Environment: "dev", Flag: boolean("checkout-a"), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := controlv1.NewKeyServiceClient(a.conn).CreateKey(a.admin, &controlv1.CreateKeyRequest{Name: "relay", Environments: []string{"dev"}, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	keys := &controlv1.EntryFilter{Kinds: []controlv1.ResourceKind{controlv1.ResourceKind_RESOURCE_KIND_KEY}}
	for name, c := range map[string]struct {
		err  func() error
		want codes.Code
	}{
		"its environment":       {func() error { return listTrail(viewer, trails, "dev", nil, 1) }, codes.OK},
		"another environment":   {func() error { return listTrail(viewer, trails, "production", nil, 0) }, codes.PermissionDenied},
		"no environment":        {func() error { return listTrail(viewer, trails, "", nil, 0) }, codes.PermissionDenied},
		"keys":                  {func() error { return listTrail(viewer, trails, "dev", keys, 0) }, codes.PermissionDenied},
		"keys it administers":   {func() error { return listTrail(keeper, trails, "dev", keys, 1) }, codes.OK},
		"identities":            {func() error { return listTrail(keeper, trails, "_access", nil, 0) }, codes.PermissionDenied},
		"identities, for admin": {func() error { return listTrail(a.admin, trails, "_access", nil, 4) }, codes.OK},
		"the store":             {func() error { return listTrail(viewer, trails, "_store", nil, 0) }, codes.OK},
		"all keys of its team":  {func() error { return listTrail(team, trails, "dev", nil, 0) }, codes.PermissionDenied},
		"its team's": {func() error {
			return listTrail(team, trails, "dev", &controlv1.EntryFilter{KeyPrefix: "checkout-"}, 1)
		}, codes.OK},
		"one of its team's": {func() error {
			return listTrail(team, trails, "dev", &controlv1.EntryFilter{Key: "checkout-a"}, 1)
		}, codes.OK},
		"another team's, with its own prefix": {func() error {
			return listTrail(team, trails, "dev", &controlv1.EntryFilter{Key: "search", KeyPrefix: "checkout-"}, 0)
		}, codes.PermissionDenied},
		"an export":                   {func() error { return exportOf(viewer, trails, "dev") }, codes.PermissionDenied},
		"an export of its own":        {func() error { return exportOf(keeper, trails, "dev") }, codes.OK},
		"an export of another's":      {func() error { return exportOf(keeper, trails, "production") }, codes.PermissionDenied},
		"an export of the identities": {func() error { return exportOf(keeper, trails, "_access") }, codes.PermissionDenied},
	} {
		if err := c.err(); status.Code(err) != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// listTrail lists a trail, and expects a number of entries.
func listTrail(ctx context.Context, trails controlv1.AuditServiceClient, environment string, f *controlv1.EntryFilter, want int) error {
	resp, err := trails.ListEntries(ctx, &controlv1.ListEntriesRequest{Environment: environment, Filter: f})
	if err == nil && len(resp.GetEntries()) != want {
		return status.Errorf(codes.Internal, "%d entries, want %d", len(resp.GetEntries()), want)
	}
	return err
}

// exportOf receives all of a trail.
func exportOf(ctx context.Context, trails controlv1.AuditServiceClient, environment string) error {
	stream, err := trails.ExportTrail(ctx, &controlv1.ExportTrailRequest{Environment: environment})
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// TestAuditLog: what is written goes to the file; a server whose file cannot be written does not
// start.
func TestAuditLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	a := start(t, Options{AuditLog: path})
	for i := 0; ; i++ {
		_, err := a.flags.CreateFlag(t.Context(), &controlv1.CreateFlagRequest{Environment: "dev", Flag: boolean(fmt.Sprintf("f%d", i)), Reason: "to the file"})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(`"to the file"`)) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	_, err := Open(t.Context(), Options{
		Store: memstore.New(), GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", AuditLog: filepath.Join(t.TempDir(), "gone", "audit.jsonl"),
	})
	if err == nil || !strings.Contains(err.Error(), "audit log") {
		t.Errorf("got %v", err)
	}
}

// TestTrailByName: what only has such a key by chance takes all of the environment: change requests
// by their numbers, the settings by the environment's name.
func TestTrailByName(t *testing.T) {
	const flags, settings = controlv1.ResourceKind_RESOURCE_KIND_FLAG, controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT
	for _, tc := range []struct {
		filter *controlv1.EntryFilter
		key    string // that is demanded; empty: all
	}{
		{&controlv1.EntryFilter{KeyPrefix: "checkout-"}, "checkout-"},
		{&controlv1.EntryFilter{KeyPrefix: "1"}, ""},
		{&controlv1.EntryFilter{KeyPrefix: "prod"}, ""},
		{&controlv1.EntryFilter{Key: "production"}, ""},
		{&controlv1.EntryFilter{Key: "prod"}, "prod"},
		{&controlv1.EntryFilter{KeyPrefix: "prod", Kinds: []controlv1.ResourceKind{flags}}, "prod"},
		{&controlv1.EntryFilter{KeyPrefix: "prod", Kinds: []controlv1.ResourceKind{flags, settings}}, ""},
	} {
		all := readTrail(&controlv1.ListEntriesRequest{Environment: "production", Filter: tc.filter})
		if len(all) != 1 || all[0].Key != tc.key {
			t.Errorf("%v demands %v, want key %q", tc.filter, all, tc.key)
		}
	}
}

package accesskey_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestFromContext(t *testing.T) {
	secret, p := accesskey.New()
	for name, tc := range map[string]struct {
		values   []string
		required bool
		id, want string
	}{
		"none":                {},
		"none, and required":  {required: true, want: "a key is required"},
		"one":                 {values: []string{"Bearer " + secret}, required: true, id: p.ID},
		"in another case":     {values: []string{"bearer " + secret}, id: p.ID},
		"two":                 {values: []string{"Bearer " + secret, "Bearer " + secret}, want: "want one, of the form 'Bearer SECRET'"},
		"of another scheme":   {values: []string{"Basic " + secret}, want: "want one, of the form 'Bearer SECRET'"},
		"without a scheme":    {values: []string{secret}, want: "want one, of the form 'Bearer SECRET'"},
		"not a key's":         {values: []string{"Bearer password"}, want: accesskey.ErrMalformed.Error()},
		"with something else": {values: []string{"Bearer " + secret + " x"}, want: accesskey.ErrMalformed.Error()},
	} {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{accesskey.Header: tc.values})
		got, err := accesskey.FromContext(ctx, tc.required)
		switch {
		case tc.want != "":
			if got != nil || status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		case err != nil || (got != nil) != (tc.id != "") || got != nil && *got != p:
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestOpens(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	_, p := accesskey.New()
	_, other := accesskey.New()
	for name, tc := range map[string]struct {
		key            *accessv1.Key // nil: it cannot be decoded
		absent, forged bool
		code           codes.Code
		want           string // empty: it opens
	}{
		"its own":         {key: &accessv1.Key{Id: p.ID, SecretHash: p.Hash()}},
		"not expired yet": {key: &accessv1.Key{Id: p.ID, SecretHash: p.Hash(), ExpiresAt: timestamppb.New(now.Add(1))}},
		"expired":         {key: &accessv1.Key{Id: p.ID, SecretHash: p.Hash(), ExpiresAt: timestamppb.New(now)}, code: codes.PermissionDenied, want: "has expired at 2026-03-01T12:00:00Z"},
		"another secret":  {key: &accessv1.Key{Id: p.ID, SecretHash: other.Hash()}, forged: true, code: codes.Unauthenticated, want: "is not that of key " + p.ID},
		"not there":       {key: &accessv1.Key{Id: other.ID, SecretHash: other.Hash()}, absent: true, code: codes.PermissionDenied, want: `key ` + p.ID + ` does not open environment "production"`},
		"broken":          {code: codes.PermissionDenied, want: "update the key"},
	} {
		item := snapshot.Item{Kind: syncv1.Kind_KIND_KEY, Key: p.ID, ModRevision: 1, Data: []byte{0xff}}
		if tc.key != nil {
			item.Key = tc.key.GetId()
			var err error
			if item.Data, err = proto.Marshal(tc.key); err != nil {
				t.Fatal(err)
			}
		}
		s, _ := snapshot.New("production", snapshot.Epoch{Counter: 1}).Next(1, []snapshot.Item{item}, nil)
		got := p.Opens(s, now, accesskey.Follow)
		if tc.want == "" {
			if got != nil {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if got == nil || got.Absent != tc.absent || got.Forged != tc.forged || !strings.Contains(got.Problem, tc.want) || status.Code(got.Status()) != tc.code {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

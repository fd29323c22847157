package controlplane

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// fieldsOf calls with a request that is right but for what edit does to it, and returns
// the fields that the error names.
func fieldsOf(t *testing.T, err error) string {
	t.Helper()
	names := make([]string, 0, 1)
	for _, f := range as[*InvalidError](t, err).Fields {
		names = append(names, f.Field)
	}
	return strings.Join(names, " ")
}

func TestInvalidRequests(t *testing.T) {
	f, _ := newFixture(t)
	base := f.create(boolFlag("a")).GetFlag().GetRevision()
	createWith := func(edit func(*controlv1.CreateFlagRequest)) error {
		r := &controlv1.CreateFlagRequest{Environment: production, Flag: boolFlag("n"), Reason: "r", RequestId: "id"}
		edit(r)
		_, err := f.CreateFlag(f.ctx, alice, r)
		return err
	}
	for _, test := range []struct {
		fields string
		edit   func(*controlv1.CreateFlagRequest)
	}{
		{"environment", func(r *controlv1.CreateFlagRequest) { r.Environment = "" }},
		{"environment", func(r *controlv1.CreateFlagRequest) { r.Environment = "Production" }},
		{"environment", func(r *controlv1.CreateFlagRequest) { r.Environment = "a/../b" }},
		{"environment", func(r *controlv1.CreateFlagRequest) { r.Environment = strings.Repeat("e", 64) }},
		{"flag", func(r *controlv1.CreateFlagRequest) { r.Flag = nil }},
		{"flag.key", func(r *controlv1.CreateFlagRequest) { r.Flag.Key = "a/b" }},
		{"flag.key", func(r *controlv1.CreateFlagRequest) { r.Flag.Key = "" }},
		{"flag", func(r *controlv1.CreateFlagRequest) { r.Flag.Description = strings.Repeat("d", 256<<10) }},
		{"reason", func(r *controlv1.CreateFlagRequest) { r.Reason = "" }},
		{"reason", func(r *controlv1.CreateFlagRequest) { r.Reason = " \t\n" }},
		{"reason", func(r *controlv1.CreateFlagRequest) { r.Reason = strings.Repeat("é", 1001) }},
		{"request_id", func(r *controlv1.CreateFlagRequest) { r.RequestId = strings.Repeat("x", 65) }},
		{"request_id", func(r *controlv1.CreateFlagRequest) { r.RequestId = "a/b" }},
		{"reason flag.key", func(r *controlv1.CreateFlagRequest) { r.Reason, r.Flag.Key = "", "?" }},
	} {
		if got := fieldsOf(t, createWith(test.edit)); got != test.fields {
			t.Errorf("got problems with %q, want %q", got, test.fields)
		}
	}
	if err := createWith(func(r *controlv1.CreateFlagRequest) {
		r.Reason, r.RequestId = strings.Repeat("é", 1000), strings.Repeat("x", 64)
	}); err != nil {
		t.Errorf("the longest reason and request id: %v", err)
	}

	for want, call := range map[string]func() error{
		"base_revision": func() error { _, err := f.update(boolFlag("a"), 0); return err },
		"base_revision reason": func() error {
			_, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{Environment: production, FlagKey: "a", BaseRevision: -1})
			return err
		},
		"flag_key": func() error {
			_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: "/", Reason: "r"})
			return err
		},
		"flag_key base_revision": func() error {
			_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{
				Environment: production, BaseRevision: proto.Int64(0), Reason: "r",
			})
			return err
		},
		"environment flag_key": func() error {
			_, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{})
			return err
		},
		"to_environment": func() error {
			_, err := f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{
				FlagKey: "a", FromEnvironment: staging, ToEnvironment: staging, Reason: "r",
			})
			return err
		},
		"revision": func() error {
			_, err := f.RestoreFlag(f.ctx, alice, &controlv1.RestoreFlagRequest{
				Environment: production, FlagKey: "a", BaseRevision: base, Reason: "r",
			})
			return err
		},
		"segment_key": func() error {
			_, err := f.GetSegment(f.ctx, &controlv1.GetSegmentRequest{Environment: production, SegmentKey: "a b"})
			return err
		},
		"segment": func() error {
			_, err := f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{Environment: production, Reason: "r"})
			return err
		},
		"segment.rules[0].clauses": func() error {
			_, err := f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{
				Environment: production, Segment: &flagv1.Segment{Key: "s", Rules: []*flagv1.SegmentRule{{}}}, Reason: "r",
			})
			return err
		},
		"page_size": func() error {
			_, err := f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{Environment: production, PageSize: 1001})
			return err
		},
		"key_prefix": func() error {
			_, err := f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{Environment: production, KeyPrefix: "../"})
			return err
		},
		"page_token": func() error {
			_, err := f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{Environment: production, PageToken: "?"})
			return err
		},
	} {
		if got := fieldsOf(t, call()); got != want {
			t.Errorf("got problems with %q, want %q", got, want)
		}
	}
}

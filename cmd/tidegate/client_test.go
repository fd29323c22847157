package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/rpc"
)

func setEnabled(ctx context.Context, c *client) error {
	_, err := write(ctx, c, c.flags.SetEnabled, &controlv1.SetEnabledRequest{FlagKey: "a", RequestId: newRequestID()})
	return err
}

// A write whose outcome is unknown is repeated with the same request id, and says so.
func TestWriteRetries(t *testing.T) {
	t.Parallel()
	var ids, actors []string
	f := &fakeServer{setEnabled: func(ctx context.Context, r *controlv1.SetEnabledRequest) (*controlv1.SetEnabledResponse, error) {
		ids = append(ids, r.GetRequestId())
		md, _ := metadata.FromIncomingContext(ctx)
		actors = append(actors, strings.Join(md.Get(rpc.ActorKey), ","))
		switch len(ids) {
		case 1:
			return nil, status.Error(codes.Unavailable, "the store does not answer")
		case 2:
			return nil, status.Error(codes.DeadlineExceeded, "no answer within the call's deadline")
		}
		return &controlv1.SetEnabledResponse{}, nil
	}}
	_, stderr, err := withClient(t, f.start(t), setEnabled)
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) != 3 || ids[0] == "" || ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("request ids %q, want the same three times", ids)
	}
	if strings.Join(actors, " ") != "ann ann ann" {
		t.Errorf("actors %q", actors)
	}
	want := "SERVER cannot answer: the store does not answer; trying again with the same request id (2 of 4)\n" +
		"SERVER did not answer within 30s; trying again with the same request id (3 of 4)\n"
	if stderr != want {
		t.Errorf("got %s\nwant %s", stderr, want)
	}
}

func TestWriteOutcomeUnknown(t *testing.T) {
	t.Parallel()
	calls := 0
	f := &fakeServer{setEnabled: func(context.Context, *controlv1.SetEnabledRequest) (*controlv1.SetEnabledResponse, error) {
		calls++
		return nil, status.Error(codes.Unavailable, "the store does not answer")
	}}
	address := f.start(t)
	_, _, err := withClient(t, address, setEnabled)
	want := "SERVER cannot answer: the store does not answer\n" +
		"whether it was written is unknown: look at the history, or run the same command again"
	if text(err, address) != want || calls != maxAttempts {
		t.Errorf("after %d calls:\ngot  %v\nwant %s", calls, err, want)
	}
}

// A server that objects is not asked again.
func TestWriteDoesNotRetryRefusals(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.InvalidArgument, codes.Aborted, codes.NotFound, codes.Internal} {
		calls := 0
		f := &fakeServer{setEnabled: func(context.Context, *controlv1.SetEnabledRequest) (*controlv1.SetEnabledResponse, error) {
			calls++
			return nil, status.Error(code, "no")
		}}
		_, stderr, err := withClient(t, f.start(t), setEnabled)
		if err == nil || calls != 1 || stderr != "" {
			t.Errorf("%s: %d calls, %v, %q", code, calls, err, stderr)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	moment := timestamppb.New(time.Date(2026, 11, 22, 10, 3, 12, 0, time.UTC))
	changes := []*controlv1.FieldChange{{Path: "enabled", Before: "true", After: "false"}, {Path: "rules[x]", After: "{}"}, {Path: "owner", Before: `"a"`}}
	for _, test := range []struct {
		name   string
		status error
		want   string
	}{
		{
			"changed meanwhile",
			rpc.Status(codes.Aborted, "stale", protoadapt.MessageV1Of(&controlv1.Conflict{
				Environment: "production", Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "a", BaseRevision: 41, CurrentRevision: 42, Changes: changes,
				Latest: &controlv1.AuditEntry{Revision: 42, Time: moment, Actor: "bob", Action: controlv1.Action_ACTION_DISABLED, Reason: "errors"},
			})),
			"flag a in production is no longer at revision 41 but at 42; nothing was written\n" +
				"  revision 42, 2026-11-22 10:03:12Z: bob disabled it: errors\n" +
				"  ~ enabled: true -> false\n  + rules[x]: {}\n  - owner: \"a\"\n" +
				"look at it ('tidegate flag get a --environment production'), then run the command again",
		},
		{
			"there already",
			rpc.Status(codes.Aborted, "stale", protoadapt.MessageV1Of(&controlv1.Conflict{
				Environment: "dev", Kind: controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, Key: "s", CurrentRevision: 7,
			})),
			"segment s is already there in dev, at revision 7; nothing was written\n" +
				"look at it ('tidegate segment get s --environment dev'), then run the command again",
		},
		{
			"deleted meanwhile",
			rpc.Status(codes.Aborted, "stale", protoadapt.MessageV1Of(&controlv1.Conflict{
				Environment: "dev", Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "a", BaseRevision: 7,
			})),
			"flag a is no longer there in dev; nothing was written\n" +
				"look at it ('tidegate flag get a --environment dev'), then run the command again",
		},
		{
			"violations",
			rpc.Status(codes.InvalidArgument, "invalid", &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
				{Field: "reason", Description: "is required"}, {Description: "all of it"},
			}}),
			"the server refuses this; nothing was written\n  reason: is required\n  all of it",
		},
		{
			"contradiction",
			rpc.Status(codes.FailedPrecondition, "used by b", &errdetails.BadRequest{}),
			"this does not fit with what is there; nothing was written\n  used by b",
		},
		{"not found", status.Error(codes.NotFound, `not found: flag "a"`), `not found: flag "a"`},
		{"internal", status.Error(codes.Internal, "internal error"), "internal error (Internal)"},
		{"wrong kind of server", status.Error(codes.Unimplemented, "unknown service"), "SERVER does not offer this: control servers listen on port 7013, relays on 8013 (unknown service)"},
		{"hostile", status.Error(codes.NotFound, "a\x1b[2Jb\u202e"), `a\x1b[2Jb\u202e`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := withClient(t, "127.0.0.1:1", func(context.Context, *client) error { return test.status })
			if got := text(err, "127.0.0.1:1"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestListFlagsReadsAllPages(t *testing.T) {
	t.Parallel()
	f := &fakeServer{listFlags: func(r *controlv1.ListFlagsRequest) (*controlv1.ListFlagsResponse, error) {
		page := 0
		if r.GetPageToken() != "" {
			if _, err := fmt.Sscan(r.GetPageToken(), &page); err != nil {
				return nil, err
			}
		}
		response := &controlv1.ListFlagsResponse{Revision: 9, Flags: []*controlv1.FlagVersion{{Flag: &flagv1.Flag{Key: fmt.Sprint("flag-", page)}}}}
		if page < 2 {
			response.NextPageToken = fmt.Sprint(page + 1)
		}
		return response, nil
	}}
	_, _, err := withClient(t, f.start(t), func(ctx context.Context, c *client) error {
		list, err := c.listFlags(ctx, "production", "")
		if err == nil && (len(list.GetFlags()) != 3 || list.GetFlags()[2].GetFlag().GetKey() != "flag-2" || list.GetRevision() != 9) {
			t.Errorf("got %v", list)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestReadHistory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limit     int
		wantSizes string
		wantNext  string
	}{
		{1, "[1]", "1"},
		{100, "[100]", "100"},
		{150, "[100 50]", "150"},
		{250, "[100 100 50]", ""},
		{0, "[100 100 100]", ""},
	} {
		const total = 250
		var sizes []int32
		at := 0
		entries, next, err := readHistory(test.limit, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
			if token != "" && token != fmt.Sprint(at) {
				t.Errorf("token %q at %d", token, at)
			}
			sizes = append(sizes, size)
			n := min(int(size), total-at)
			at += n
			if at == total {
				return make([]*controlv1.AuditEntry, n), "", nil
			}
			return make([]*controlv1.AuditEntry, n), fmt.Sprint(at), nil
		})
		want := test.limit
		if want == 0 {
			want = total
		}
		if err != nil || len(entries) != want || next != test.wantNext || fmt.Sprint(sizes) != test.wantSizes {
			t.Errorf("limit %d: %d entries, next %q, sizes %v, %v", test.limit, len(entries), next, sizes, err)
		}
	}
}

func TestHeaderValue(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ann": "ann", "\tann\n": "ann", "José": "Jos?", "a\nb": "a?b", "": "", strings.Repeat("x", 200): strings.Repeat("x", maxActor),
	} {
		if got := headerValue(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

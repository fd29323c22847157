package server

import (
	"context"
	"math"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// previewing is a relay in the hands of a test that answers previews with what it is given; it
// keeps what it was asked.
type previewing struct {
	asked chan *syncv1.Preview
}

// previews has a relay follow a server and answer; nil: it does not.
func previews(t *testing.T, s *running, id string, answer *syncv1.PreviewAnswer, capabilities ...syncv1.Capability) *previewing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := syncv1.NewSyncServiceClient(s.conn).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
		Protocol: 1, InstanceId: id, BootId: "boot", Path: []string{id}, FollowerKind: syncv1.FollowerKind_FOLLOWER_KIND_RELAY,
		Scopes: []*syncv1.Scope{{Environment: "production"}}, StreamNumber: 1, Capabilities: capabilities,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &previewing{asked: make(chan *syncv1.Preview, 10)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.serve(stream, answer)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return p
}

func (p *previewing) serve(stream grpc.BidiStreamingClient[syncv1.StreamRequest, syncv1.StreamResponse], answer *syncv1.PreviewAnswer) {
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		if m.GetPreview() == nil {
			continue
		}
		p.asked <- m.GetPreview()
		if answer == nil {
			continue
		}
		answer.Id = m.GetPreview().GetId()
		if stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_PreviewAnswer{PreviewAnswer: answer}}) != nil {
			return
		}
	}
}

// sampleOf has some subjects who would change, and some who would not.
func sampleOf(change, stay []uint64) *syncv1.PreviewAnswer {
	return &syncv1.PreviewAnswer{Relays: 1, Flags: []*syncv1.PreviewFlag{{
		FlagKey: "checkout", Relays: 1, Below: math.MaxUint64,
		Transitions: []*syncv1.PreviewTransition{
			{Before: &syncv1.PreviewOutcome{Variant: "off"}, After: &syncv1.PreviewOutcome{Variant: "on"}, Differs: true, Subjects: change},
			{Before: &syncv1.PreviewOutcome{Variant: "on"}, After: &syncv1.PreviewOutcome{Variant: "on"}, Subjects: stay},
		},
	}}}
}

// TestPreviewChange: the relays of both servers are asked, whichever is; what is missing is said.
func TestPreviewChange(t *testing.T) {
	t.Parallel()
	s := shared{memstore.New()}
	servers := make([]*running, 2)
	for i := range servers {
		addr := freeAddr(t)
		servers[i] = start(t, Options{Store: s, GRPCAddr: addr, AdvertiseAddr: addr, InstanceID: "server-" + string(rune('a'+i))})
	}
	flag := servers[0].create("checkout").GetFlag()
	off := boolean("checkout")
	off.Enabled = !flag.GetEnabled()
	request := &controlv1.PreviewChangeRequest{Environment: "production", Flags: []*controlv1.FlagWrite{{Flag: off}}}

	one := previews(t, servers[0], "one", sampleOf([]uint64{1, 2}, []uint64{10, 11}), syncv1.Capability_CAPABILITY_PREVIEW)
	previews(t, servers[1], "two", sampleOf([]uint64{2, 3}, []uint64{11, 12, 13}), syncv1.Capability_CAPABILITY_PREVIEW)
	previews(t, servers[0], "old", nil)
	fleet := controlv1.NewFleetServiceClient(servers[0].conn)
	for _, r := range servers {
		eventually(t, "the server knows the relays and the flag", func() bool {
			list, err := fleet.ListRelays(t.Context(), &controlv1.ListRelaysRequest{Environment: "production"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := controlv1.NewFlagServiceClient(r.conn).PreviewChange(t.Context(), request)
			return err == nil && len(list.GetRelays()) == 3 && got.GetRelaysTotal() == 3 && got.GetRelays() == 2
		})
		got, err := controlv1.NewFlagServiceClient(r.conn).PreviewChange(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		f := got.GetFlags()[0]
		if f.GetFlagKey() != "checkout" || f.GetSampled() != 7 || f.GetChanging() != 3 || f.GetSubjects() != 7 || !f.GetComplete() ||
			f.GetRelays() != 2 || f.GetDependant() || len(got.GetUnreachableServers()) != 0 {
			t.Errorf("%v", got)
		}
	}
	asked := <-one.asked
	if len(asked.GetPuts()) != 1 || asked.GetPuts()[0].GetKey() != "checkout" || asked.GetEnvironment() != "production" ||
		asked.GetTimeout().AsDuration() <= 0 || asked.GetTimeout().AsDuration() >= previewTime {
		t.Errorf("asked %v", asked)
	}
	servers[1].stop()
	eventually(t, "the rest is told", func() bool {
		got, err := controlv1.NewFlagServiceClient(servers[0].conn).PreviewChange(t.Context(), request)
		return err == nil && got.GetRelays() == 1 && got.GetRelaysTotal() >= 2
	})
}

// TestPreviewOfNobody: nothing is known, and nothing is made up.
func TestPreviewOfNobody(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Store: memstore.New()})
	got, err := controlv1.NewFlagServiceClient(s.conn).PreviewChange(t.Context(), &controlv1.PreviewChangeRequest{
		Environment: "production", Flags: []*controlv1.FlagWrite{{Flag: boolean("new")}},
	})
	if err != nil || got.GetRelaysTotal() != 0 || got.GetSince() != nil || len(got.GetFlags()) != 1 || got.GetFlags()[0].GetRelays() != 0 ||
		got.GetFlags()[0].GetSampled() != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestPreviewTakesTheRightToChange everything that is named; what relays tell a server is for
// servers.
func TestPreviewTakesTheRightToChange(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	viewer, _ := a.service("viewer", role(accessv1.Role_ROLE_VIEWER))
	editor, _ := a.service("editor", &accessv1.Grant{
		Role: accessv1.Role_ROLE_EDITOR, Environments: []string{"production"}, KeyPrefixes: []string{"checkout-"},
	})
	mine, theirs := []*controlv1.FlagWrite{{Flag: boolean("checkout-a")}}, []*controlv1.FlagWrite{{Flag: boolean("search-a")}}
	for name, c := range map[string]struct {
		who  context.Context
		r    *controlv1.PreviewChangeRequest
		want codes.Code
	}{
		"who may":           {editor, &controlv1.PreviewChangeRequest{Environment: "production", Flags: mine}, codes.OK},
		"who may only read": {viewer, &controlv1.PreviewChangeRequest{Environment: "production", Flags: mine}, codes.PermissionDenied},
		"nobody":            {t.Context(), &controlv1.PreviewChangeRequest{Environment: "production", Flags: mine}, codes.Unauthenticated},
		"elsewhere":         {editor, &controlv1.PreviewChangeRequest{Environment: "staging", Flags: mine}, codes.PermissionDenied},
		"another flag":      {editor, &controlv1.PreviewChangeRequest{Environment: "production", Flags: append(mine[:1:1], theirs...)}, codes.PermissionDenied},
		"another segment":   {editor, &controlv1.PreviewChangeRequest{Environment: "production", Flags: mine, Segments: []*controlv1.SegmentWrite{{Segment: staff()}}}, codes.PermissionDenied},
		"another's end": {editor, &controlv1.PreviewChangeRequest{Environment: "production", Flags: mine, Deletes: []*controlv1.ResourceDelete{{
			Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "search-a",
		}}}, codes.PermissionDenied},
		"nothing": {editor, &controlv1.PreviewChangeRequest{Environment: "production"}, codes.PermissionDenied},
	} {
		if _, err := controlv1.NewFlagServiceClient(a.conn).PreviewChange(c.who, c.r); status.Code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	_, err := controlv1.NewFleetServiceClient(a.conn).PreviewRelays(editor, &controlv1.PreviewRelaysRequest{Preview: &syncv1.Preview{Environment: "production"}})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("hashes of subjects: %v", err)
	}
}

package main

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// fakeFleet answers FleetService, and SetEnabled, as a test says.
type fakeFleet struct {
	controlv1.UnimplementedFlagServiceServer
	controlv1.UnimplementedFleetServiceServer
	answers []*controlv1.WaitAppliedResponse
	relays  []*controlv1.Relay
	asked   chan *controlv1.WaitAppliedRequest
}

func (f *fakeFleet) SetEnabled(_ context.Context, r *controlv1.SetEnabledRequest) (*controlv1.SetEnabledResponse, error) {
	return &controlv1.SetEnabledResponse{
		Flag: &controlv1.FlagVersion{Revision: 93}, Entry: &controlv1.AuditEntry{Key: r.GetFlagKey()},
	}, nil
}

func (f *fakeFleet) WaitApplied(r *controlv1.WaitAppliedRequest, s grpc.ServerStreamingServer[controlv1.WaitAppliedResponse]) error {
	f.asked <- r
	for _, a := range f.answers {
		if err := s.Send(a); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeFleet) ListRelays(context.Context, *controlv1.ListRelaysRequest) (*controlv1.ListRelaysResponse, error) {
	return &controlv1.ListRelaysResponse{Relays: f.relays, UnreachableServers: []string{"server-b"}}, nil
}

func (f *fakeFleet) start(t *testing.T) string {
	t.Helper()
	f.asked = make(chan *controlv1.WaitAppliedRequest, 1)
	return serve(t, func(s *grpc.Server) {
		controlv1.RegisterFlagServiceServer(s, f)
		controlv1.RegisterFleetServiceServer(s, f)
	})
}

// command runs one and returns what it prints, errors after '! ', an exit code other than
// 0 in brackets; how long something took is TOOK.
func (f *fakeFleet) command(t *testing.T, line string) string {
	t.Helper()
	text := runLine(t, line+" --server "+f.start(t))
	text = regexp.MustCompile(`after [0-9.]+m?s`).ReplaceAllString(text, "after TOOK")
	return regexp.MustCompile(`seen [1-5][0-9]s ago`).ReplaceAllString(text, "seen 12s ago")
}

func lost(id, region string, ago time.Duration) *controlv1.Relay {
	r := &controlv1.Relay{InstanceId: id, Region: region, Environments: []*controlv1.AppliedEnvironment{{Environment: "production"}}}
	if ago > 0 {
		r.LastSeen = timestamppb.New(time.Now().Add(-ago))
	}
	return r
}

func TestKillSwitchTellsWhoHasIt(t *testing.T) {
	t.Parallel()
	eu := lost("relay-eu-3", "eu-west", 12*time.Second)
	behind := &controlv1.Relay{InstanceId: "relay-us-1", Connected: true, Environments: []*controlv1.AppliedEnvironment{
		{Environment: "production", Cursor: &syncv1.Cursor{Revision: 92}},
	}}
	old := &controlv1.Relay{InstanceId: "old", Connected: true, Environments: []*controlv1.AppliedEnvironment{
		{Environment: "staging", Cursor: &syncv1.Cursor{Revision: 93}},
		{Environment: "production", Cursor: &syncv1.Cursor{Revision: 93}, Rejections: 1, NewestRejection: 93},
	}}
	const run = `flag disable checkout -e production --reason "it breaks"`
	const warning = "! warning: not every relay has it: 'tidegate relay wait --environment production --revision 93' waits for the others\n"
	for _, test := range []struct {
		name, line string
		answers    []*controlv1.WaitAppliedResponse
		want       string
	}{
		{
			"all", run,
			[]*controlv1.WaitAppliedResponse{{Applied: 40, Total: 42}, {Applied: 42, Total: 42, Reached: true, Last: true}},
			"checkout disabled in production at revision 93: enforced on 42 of 42 relays after TOOK\n",
		},
		{
			"one is missing", run,
			[]*controlv1.WaitAppliedResponse{{Applied: 41, Total: 42, Missing: []*controlv1.Relay{eu}, Last: true}},
			"checkout disabled in production at revision 93: enforced on 41 of 42 relays after TOOK; missing: relay-eu-3 (region eu-west, last seen 12s ago)\n" + warning,
		},
		{
			"many are missing", run,
			[]*controlv1.WaitAppliedResponse{{
				Applied: 1, Total: 8, Last: true, UnreachableServers: []string{"server-b"},
				Missing: []*controlv1.Relay{behind, lost("b", "", 0), lost("c", "", 0), lost("d", "", 0), lost("e", "", 0), lost("f", "", 0), lost("g", "", 0)},
			}},
			"checkout disabled in production at revision 93: enforced on 1 of 8 relays after TOOK; missing: " +
				"relay-us-1 (connected, at revision 92), b (not seen since the server started), c (not seen since the server started), " +
				"d (not seen since the server started), e (not seen since the server started) and 2 more\n" +
				"! warning: control server server-b did not answer: relays connected to it may be missing here, or seem lost\n" + warning,
		},
		{
			"one cannot use it", run,
			[]*controlv1.WaitAppliedResponse{{Applied: 41, Total: 42, Missing: []*controlv1.Relay{old}, Last: true}},
			"checkout disabled in production at revision 93: enforced on 41 of 42 relays after TOOK; missing: old (connected, cannot use what was written at revision 93: an earlier version is in force there)\n" + warning,
		},
		{
			"nobody", run,
			[]*controlv1.WaitAppliedResponse{{Reached: true, Last: true}},
			"checkout disabled in production at revision 93: no relay follows production\n",
		},
		{
			"the answer ends early", run, nil,
			"checkout disabled in production at revision 93\n! warning: it is not known which relays have it: the server has ended its answer early\n",
		},
		{"no wait", run + " --wait 0", nil, "checkout disabled in production at revision 93\n"},
		{
			"enable", `flag enable checkout -e production --reason "it works" --wait 1m`,
			[]*controlv1.WaitAppliedResponse{{Applied: 1, Total: 1, Reached: true, Last: true}},
			"checkout enabled in production at revision 93: in force on 1 of 1 relays after TOOK\n",
		},
		{"wrong wait", run + " --wait -1s", nil, "! error: --wait -1s: expected a duration, or 0 not to wait (see 'tidegate flag disable --help')\n[2]\n"},
		{
			"relay wait", "relay wait -e production --revision 93 --fraction 0.9 --timeout 3s",
			[]*controlv1.WaitAppliedResponse{{Applied: 40, Total: 42, Missing: []*controlv1.Relay{eu, behind}, Reached: true, Last: true}},
			"revision 93 of production: applied on 40 of 42 relays after TOOK; missing: relay-eu-3 (region eu-west, last seen 12s ago), relay-us-1 (connected, at revision 92)\n",
		},
		{
			"relay wait in vain", "relay wait -e production --revision 93 --timeout 3s",
			[]*controlv1.WaitAppliedResponse{{Applied: 41, Total: 42, Missing: []*controlv1.Relay{eu}, Last: true}},
			"revision 93 of production: applied on 41 of 42 relays after TOOK; missing: relay-eu-3 (region eu-west, last seen 12s ago)\n! error: not reached within 3s\n[1]\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeFleet{answers: test.answers}
			if got := f.command(t, test.line); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			if len(test.answers) == 0 {
				return
			}
			r := <-f.asked
			wait := map[string]time.Duration{"enable": time.Minute, "relay wait": 3 * time.Second, "relay wait in vain": 3 * time.Second}[test.name]
			if wait == 0 {
				wait = defaultReceiptWait
			}
			if r.GetEnvironment() != "production" || r.GetRevision() != 93 || r.GetTimeout().AsDuration() != wait {
				t.Errorf("asked %v", r)
			}
		})
	}
}

func TestRelayList(t *testing.T) {
	t.Parallel()
	f := &fakeFleet{relays: []*controlv1.Relay{
		lost("relay-eu-3", "eu-west", 12*time.Second),
		{
			InstanceId: "relay-us-1", Region: "us", Version: "v1", Upstream: "server-a", Connected: true, Streams: 7,
			Environments: []*controlv1.AppliedEnvironment{
				{Environment: "production", Cursor: &syncv1.Cursor{Revision: 92}, Age: durationpb.New(350 * time.Millisecond), Lag: durationpb.New(2 * time.Second)},
				{Environment: "staging", Cursor: &syncv1.Cursor{Revision: 93}, Age: durationpb.New(time.Minute)},
			},
		},
	}}
	want := strings.TrimLeft(`
INSTANCE    STATE              REGION   ENVIRONMENT  REVISION  AGE    LAG  STREAMS  VERSION  UPSTREAM
relay-eu-3  last seen 12s ago  eu-west  production   -         -      -    0
relay-us-1  connected          us       production   92        350ms  2s   7        v1       server-a
relay-us-1  connected          us       staging      93        1m0s   0s   7        v1       server-a
! warning: control server server-b did not answer: relays connected to it may be missing here, or seem lost
`, "\n")
	if got := f.command(t, "relay list"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

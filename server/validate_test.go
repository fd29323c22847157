package server

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

func newer[M proto.Message](m M) M {
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	return m
}

func TestKnownFields(t *testing.T) {
	flag := boolean("n")
	newer(flag.Variants[1])
	for want, m := range map[string]proto.Message{
		"SetEnabledRequest": newer(&controlv1.SetEnabledRequest{}),
		"flag.variants[1]":  &controlv1.CreateFlagRequest{Flag: flag},
		"flags[0].flag segments[0]": &controlv1.ApplyRequest{
			Flags: []*controlv1.FlagWrite{{Flag: newer(&flagv1.Flag{})}}, Segments: []*controlv1.SegmentWrite{newer(&controlv1.SegmentWrite{})},
		},
		"": newer(&syncv1.StreamRequest{}),
	} {
		names := make([]string, 0, 2)
		for _, f := range knownFields(m) {
			names = append(names, f.Field)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%T: unknown in %q, want %q", m, got, want)
		}
	}
}

// A write that asks for something unknown is no write.
func TestUnknownFieldIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	r.create("a")
	_, err := r.flags.SetEnabled(as(t), newer(&controlv1.SetEnabledRequest{Environment: "production", FlagKey: "a", Reason: "r"}))
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "does not know") {
		t.Errorf("got %v, want INVALID_ARGUMENT", err)
	}
	got, err := r.flags.GetFlag(as(t), &controlv1.GetFlagRequest{Environment: "production", FlagKey: "a"})
	if err != nil || !got.GetFlag().GetFlag().GetEnabled() {
		t.Errorf("it was carried out: %v, %v", got, err)
	}
}

package main

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestLastUsed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	if got := lastUsedText(nil, now); got != "never" {
		t.Errorf("unset: %s", got)
	}
	for ago, want := range map[time.Duration]string{
		-time.Minute:    "just now",
		time.Minute:     "just now",
		3 * time.Minute: "3 minutes ago",
		5 * time.Hour:   "5 hours ago",
		72 * time.Hour:  "3 days ago",
	} {
		if got := lastUsedText(timestamppb.New(now.Add(-ago)), now); got != want {
			t.Errorf("%v: %s, want %s", ago, got, want)
		}
	}
}

package controlplane

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// listKeys lists all flags of production, page by page; between is called after each
// page.
func (f *fixture) listKeys(prefix string, size int32, between func()) (pages []string, err error) {
	token := ""
	revision := int64(0)
	for {
		resp, err := f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{
			Environment: production, KeyPrefix: prefix, PageSize: size, PageToken: token,
		})
		if err != nil {
			return pages, err
		}
		if revision != 0 && resp.GetRevision() != revision {
			f.t.Errorf("a page of revision %d after one of %d", resp.GetRevision(), revision)
		}
		revision = resp.GetRevision()
		keys := make([]string, 0, len(resp.GetFlags()))
		for _, v := range resp.GetFlags() {
			keys = append(keys, v.GetFlag().GetKey())
		}
		pages = append(pages, strings.Join(keys, " "))
		if token = resp.GetNextPageToken(); token == "" {
			return pages, nil
		}
		between()
	}
}

func TestListPages(t *testing.T) {
	f, s := newFixture(t)
	for i := range 5 {
		f.create(boolFlag(fmt.Sprintf("a%d", i)))
		f.create(boolFlag(fmt.Sprintf("b%d", i)))
	}
	for _, test := range []struct {
		prefix string
		size   int32
		want   string
	}{
		{"", 0, "a0 a1 a2 a3 a4 b0 b1 b2 b3 b4"},
		{"a", 0, "a0 a1 a2 a3 a4"},
		{"a", 2, "a0 a1|a2 a3|a4"},
		{"a", 5, "a0 a1 a2 a3 a4"},
		{"b3", 1, "b3"},
		{"c", 1, ""},
	} {
		pages, err := f.listKeys(test.prefix, test.size, func() {})
		if got := strings.Join(pages, "|"); err != nil || got != test.want {
			t.Errorf("prefix %q, pages of %d: got %q (%v), want %q", test.prefix, test.size, got, err, test.want)
		}
	}
	// All pages show the state of the first.
	i := 0
	pages, err := f.listKeys("a", 2, func() {
		f.create(boolFlag(fmt.Sprintf("a3-new%d", i)))
		if err := f.delete(fmt.Sprintf("a%d", 4-i), f.get(fmt.Sprintf("a%d", 4-i)).GetRevision()); err != nil {
			t.Error(err)
		}
		i++
	})
	if got := strings.Join(pages, "|"); err != nil || got != "a0 a1|a2 a3|a4" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = f.listKeys("b", 2, func() {
		revision := f.create(boolFlag(fmt.Sprintf("c%d", i))).GetFlag().GetRevision()
		if err := s.Compact(revision); err != nil {
			t.Error(err)
		}
		i++
	})
	if !errors.Is(err, ErrTokenExpired) {
		t.Errorf("a page of a compacted revision: %v", err)
	}
	first, err := f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{Environment: production, PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{Environment: staging, PageSize: 1, PageToken: first.GetNextPageToken()})
	mentions(t, as[*InvalidError](t, err), "page_token", "another list")
}

// TestPagesFitInAMessage: however large their elements.
func TestPagesFitInAMessage(t *testing.T) {
	f, _ := newFixture(t)
	for i := range 12 {
		large := &flagv1.Segment{Key: fmt.Sprintf("s%02d", i), Description: strings.Repeat("d", 500<<10)}
		if _, err := f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{Environment: production, Segment: large, Reason: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	token, seen, pages := "", 0, 0
	for {
		resp, err := f.ListSegments(f.ctx, &controlv1.ListSegmentsRequest{Environment: production, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(resp.GetSegments()); n != 4 {
			t.Errorf("a page of %d segments of 500 KiB", n)
		}
		seen, pages = seen+len(resp.GetSegments()), pages+1
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	if seen != 12 || pages != 3 {
		t.Errorf("%d segments on %d pages", seen, pages)
	}
}

func TestHistoryPages(t *testing.T) {
	f, _ := newFixture(t)
	f.create(boolFlag("a"))
	f.create(boolFlag("a-")) // a neighbour in the store
	for i := range 24 {
		f.setEnabled("a", i%2 == 1)
	}
	first, err := f.ListFlagHistory(f.ctx, &controlv1.ListFlagHistoryRequest{Environment: production, FlagKey: "a"})
	if err != nil || len(first.GetEntries()) != defaultHistoryPage || first.GetEntries()[0].GetSequence() != 25 {
		t.Fatalf("first page: %d entries, %v", len(first.GetEntries()), err)
	}
	f.setEnabled("a", false) // comes before the first page
	second, err := f.ListFlagHistory(f.ctx, &controlv1.ListFlagHistoryRequest{
		Environment: production, FlagKey: "a", PageToken: first.GetNextPageToken(),
	})
	if err != nil || len(second.GetEntries()) != 5 || second.GetEntries()[0].GetSequence() != 5 || second.GetNextPageToken() != "" {
		t.Errorf("second page: %v, %v", second, err)
	}
	for i, e := range f.fullHistory("a") {
		if e.GetSequence() != int64(i+1) {
			t.Errorf("entry %d has sequence %d", i, e.GetSequence())
		}
	}
}

func TestListEnvironments(t *testing.T) {
	f, _ := newFixture(t)
	f.create(boolFlag("a"))
	f.createSegment("s")
	f.caughtUp()
	resp, err := f.ListEnvironments(f.ctx, &controlv1.ListEnvironmentsRequest{})
	if err != nil || len(resp.GetEnvironments()) != 2 {
		t.Fatalf("%v, %v", resp, err)
	}
	e := resp.GetEnvironments()[0]
	if e.GetName() != production || e.GetFlagCount() != 1 || e.GetSegmentCount() != 1 || e.GetCursor().GetEpoch().GetCounter() != 1 {
		t.Errorf("got %v", e)
	}
}

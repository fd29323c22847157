package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// row is a comparison in words, such as 'flag a: same differs missing'.
func row(c *controlv1.Comparison) string {
	var words []string
	for _, e := range c.GetEnvironments() {
		switch {
		case e.GetRevision() == 0:
			words = append(words, "missing")
		case e.GetDiffers():
			words = append(words, "differs")
		default:
			words = append(words, "same")
		}
	}
	return kindOfControl(c.GetKind()).name + " " + c.GetKey() + ": " + strings.Join(words, " ")
}

func (f *fixture) compareAll(r *controlv1.CompareEnvironmentsRequest) (rows []string, all []*controlv1.Comparison) {
	f.t.Helper()
	revision := int64(0)
	for {
		resp, err := f.CompareEnvironments(f.ctx, r)
		if err != nil {
			f.t.Fatal(err)
		}
		if revision != 0 && resp.GetRevision() != revision {
			f.t.Errorf("pages of revisions %d and %d", revision, resp.GetRevision())
		}
		revision = resp.GetRevision()
		for _, c := range resp.GetComparisons() {
			rows, all = append(rows, row(c)), append(all, c)
		}
		if r.PageToken = resp.GetNextPageToken(); r.PageToken == "" {
			return rows, all
		}
	}
}

func TestCompareEnvironments(t *testing.T) {
	f, s := newFixture(t)
	f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{Name: "dev"})
	f.putSegment("dev", "staff", "ann")
	f.putSegment(staging, "staff", "ann")
	f.put("dev", described("a", "1"), described("b", "1"), described("c", "1"))
	f.put(staging, described("a", "1"), described("b", "2"), described("e", "1"))
	f.put(production, described("a", "1"), described("c", "1"))
	f.setEnabled("a", false)

	all := []string{"dev", staging, production}
	rows, compared := f.compareAll(&controlv1.CompareEnvironmentsRequest{Environments: all, IncludeChanges: true})
	want := []string{
		"segment staff: same same missing", "flag a: same same same", "flag b: same differs missing",
		"flag c: same missing same", "flag e: missing differs missing",
	}
	if !slices.Equal(rows, want) {
		t.Errorf("got %q", rows)
	}
	if a := compared[1]; a.GetDiffers() || !a.GetEnvironments()[1].GetEnabled() || a.GetEnvironments()[2].GetEnabled() {
		t.Errorf("a: %v", a)
	}
	if b := compared[2].GetEnvironments()[1]; len(b.GetChanges()) != 1 || b.GetChanges()[0].GetPath() != "description" || b.GetChanges()[0].GetAfter() != `"2"` {
		t.Errorf("b: %v", compared[2])
	}
	if rows, _ = f.compareAll(&controlv1.CompareEnvironmentsRequest{Environments: all, OnlyDiffering: true, IncludeEnabled: true, KeyPrefix: "a"}); !slices.Equal(rows, []string{"flag a: same same differs"}) {
		t.Errorf("with the switch: %q", rows)
	}
	if rows, _ = f.compareAll(&controlv1.CompareEnvironmentsRequest{Environments: []string{production, "dev"}, Key: "c"}); !slices.Equal(rows, []string{"flag c: same same"}) {
		t.Errorf("one key: %q", rows)
	}
	// What cannot be read is like nothing.
	if _, err := s.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put(statePrefix(staging, flagKind)+"a", []byte{0xff})}}); err != nil {
		t.Fatal(err)
	}
	if rows, _ = f.compareAll(&controlv1.CompareEnvironmentsRequest{Environments: all, Key: "a"}); !slices.Equal(rows, []string{"flag a: same differs same"}) {
		t.Errorf("unreadable: %q", rows)
	}
}

// TestComparePages: pages of any size make the same whole, of one revision, whatever is written
// between them.
func TestComparePages(t *testing.T) {
	f, _ := newFixture(t)
	for i := range 9 {
		f.putSegment([]string{staging, production}[i%2], fmt.Sprintf("s%d", i), "ann")
	}
	for i := range 25 {
		flag := described(fmt.Sprintf("f%02d", i), "1")
		if i%3 != 0 {
			f.put(staging, flag)
		}
		if i%4 != 0 {
			f.put(production, flag)
		}
	}
	all := []string{staging, production}
	want, _ := f.compareAll(&controlv1.CompareEnvironmentsRequest{Environments: all})
	if len(want) != 9+25-3 { // every twelfth is in neither
		t.Errorf("%d rows", len(want))
	}
	for size := int32(1); size < 12; size++ {
		first, err := f.CompareEnvironments(f.ctx, &controlv1.CompareEnvironmentsRequest{Environments: all, PageSize: size})
		if err != nil {
			t.Fatal(err)
		}
		f.put(production, boolFlag(fmt.Sprintf("f-%d", size)))
		var got []string
		for _, c := range first.GetComparisons() {
			got = append(got, row(c))
		}
		rest, _ := f.compareAll(&controlv1.CompareEnvironmentsRequest{Environments: all, PageSize: size, PageToken: first.GetNextPageToken()})
		if got = append(got, rest...); !slices.Equal(got, want) {
			t.Fatalf("pages of %d: %q, want %q", size, got, want)
		}
		f.get(fmt.Sprintf("f-%d", size))
		if err := f.delete(fmt.Sprintf("f-%d", size), f.get(fmt.Sprintf("f-%d", size)).GetRevision()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCompareErrors(t *testing.T) {
	f, _ := newFixture(t)
	for _, c := range []struct {
		request *controlv1.CompareEnvironmentsRequest
		want    []string
	}{
		{&controlv1.CompareEnvironmentsRequest{Environments: []string{staging}, PageSize: -1}, []string{"environments: must be 2 to 10, not 1", "page_size"}},
		{&controlv1.CompareEnvironmentsRequest{Environments: []string{staging, staging}, Key: "a", KeyPrefix: "/"}, []string{"environments[1]: staging is named twice", "key:", "key_prefix:"}},
		{&controlv1.CompareEnvironmentsRequest{Environments: []string{staging, production}, PageToken: "x"}, []string{"page_token: is not one"}},
	} {
		_, err := f.CompareEnvironments(f.ctx, c.request)
		mentions(t, as[*InvalidError](t, err), c.want...)
	}
	f.put(staging, boolFlag("a"), boolFlag("b"))
	page, err := f.CompareEnvironments(f.ctx, &controlv1.CompareEnvironmentsRequest{Environments: []string{staging, production}, PageSize: 1})
	if err != nil || page.GetNextPageToken() == "" {
		t.Fatal(page, err)
	}
	_, err = f.CompareEnvironments(f.ctx, &controlv1.CompareEnvironmentsRequest{Environments: []string{production, staging}, PageToken: page.GetNextPageToken()})
	mentions(t, as[*InvalidError](t, err), "belongs to another comparison")
	_, err = f.CompareEnvironments(f.ctx, &controlv1.CompareEnvironmentsRequest{Environments: []string{staging, "nowhere"}})
	mentions(t, as[*NotFoundError](t, err), `environment "nowhere"`)
}

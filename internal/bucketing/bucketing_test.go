package bucketing

import (
	"testing"

	"google.golang.org/protobuf/proto"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

const (
	none = flagv1.BucketingVersion_BUCKETING_VERSION_UNSPECIFIED
	two  = flagv1.BucketingVersion_BUCKETING_VERSION_2
	// three and nine stand for versions to come too: what is named is never changed.
	three = flagv1.BucketingVersion_BUCKETING_VERSION_3
	nine  = flagv1.BucketingVersion(9)
)

// versioned is a flag of a version, with a split in its default and one in a rule.
func versioned(flag, byDefault, ofRule flagv1.BucketingVersion) *flagv1.Flag {
	split := func(v flagv1.BucketingVersion) *flagv1.Outcome {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{BucketingVersion: v}}}
	}
	return &flagv1.Flag{
		Key: "a", BucketingVersion: flag, DefaultOutcome: split(byDefault),
		Rules: []*flagv1.Rule{
			{Id: "plain", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}}},
			{Id: "split", Outcome: split(ofRule)},
			{Id: "without"},
		},
	}
}

func TestPin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		given, want *flagv1.Flag
	}{
		{"nothing named", versioned(none, none, none), versioned(two, two, two)},
		{"the flag names one", versioned(three, none, none), versioned(three, three, three)},
		{"splits of their own", versioned(none, three, nine), versioned(two, three, nine)},
		{"one is missing", versioned(three, two, none), versioned(three, two, three)},
		{"no splits", &flagv1.Flag{Key: "a"}, &flagv1.Flag{Key: "a", BucketingVersion: two}},
	} {
		before := proto.CloneOf(test.given)
		if got := Pin(test.given); !proto.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
		if !proto.Equal(test.given, before) {
			t.Errorf("%s: the flag given was modified", test.name)
		}
		if Pin(test.want) != test.want {
			t.Errorf("%s: what needs nothing is copied", test.name)
		}
	}
	if got := Pin(nil); got != nil {
		t.Errorf("of nil: %v", got)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	f := versioned(none, two, nine)
	Set(f, three)
	if want := versioned(three, three, three); !proto.Equal(f, want) {
		t.Errorf("got %v, want %v", f, want)
	}
}

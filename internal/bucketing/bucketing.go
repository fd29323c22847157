// Package bucketing says which bucketing version each part of a flag has: for whoever
// writes flags, so that what is stored keeps its meaning when there is a newer version.
package bucketing

import (
	"slices"

	"google.golang.org/protobuf/proto"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Default is the version of a flag that names none.
const Default = flagv1.BucketingVersion_BUCKETING_VERSION_2

// Pin returns the flag with a version in itself and in each split: a split's is the
// flag's where it names none. The flag given is not modified; it is what is returned if
// nothing is missing.
func Pin(f *flagv1.Flag) *flagv1.Flag {
	if f == nil || !isUnspecified(f.GetBucketingVersion()) && !slices.ContainsFunc(splits(f), isUnpinned) {
		return f
	}
	f = proto.CloneOf(f)
	if isUnspecified(f.GetBucketingVersion()) {
		f.BucketingVersion = Default
	}
	for _, s := range splits(f) {
		if isUnpinned(s) {
			s.BucketingVersion = f.GetBucketingVersion()
		}
	}
	return f
}

// Set gives the flag and all of its splits a version. It assigns every subject anew.
func Set(f *flagv1.Flag, v flagv1.BucketingVersion) {
	f.BucketingVersion = v
	for _, s := range splits(f) {
		s.BucketingVersion = v
	}
}

func isUnspecified(v flagv1.BucketingVersion) bool {
	return v == flagv1.BucketingVersion_BUCKETING_VERSION_UNSPECIFIED
}

func isUnpinned(s *flagv1.Split) bool { return isUnspecified(s.GetBucketingVersion()) }

func splits(f *flagv1.Flag) []*flagv1.Split {
	var all []*flagv1.Split
	add := func(o *flagv1.Outcome) {
		if s := o.GetSplit(); s != nil {
			all = append(all, s)
		}
	}
	add(f.GetDefaultOutcome())
	for _, r := range f.GetRules() {
		add(r.GetOutcome())
	}
	return all
}

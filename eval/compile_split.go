package eval

import (
	"math"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// compileBucketing checks a bucketing version; unspecified is the given one.
func (c *compiler) compileBucketing(at *path, v, unspecified flagv1.BucketingVersion) flagv1.BucketingVersion {
	switch v {
	case flagv1.BucketingVersion_BUCKETING_VERSION_UNSPECIFIED:
		return unspecified
	case flagv1.BucketingVersion_BUCKETING_VERSION_2, flagv1.BucketingVersion_BUCKETING_VERSION_3:
	default:
		c.add(at, "%d is not a version that is known here; use BUCKETING_VERSION_2 or BUCKETING_VERSION_3", v)
	}
	return v
}

func (c *compiler) compileSplit(at *path, def *flagv1.Split) *split {
	version := c.compileBucketing(at.field("bucketing_version"), def.GetBucketingVersion(), c.bucketing)
	salt := c.flagKey
	if def != nil && def.Salt != nil {
		salt = def.GetSalt()
		c.checkText(at.field("salt"), salt)
	}
	s := &split{bucketBy: c.optionalAttribute(at.field("bucket_by"), def.GetBucketBy())}
	switch {
	case version != flagv1.BucketingVersion_BUCKETING_VERSION_3:
		s.salted = murmur3{}.write(salt)
	case def.GetBucketBy() == "" && def.Salt == nil:
		s.form, s.salted = formPair, cborPair(salt)
	default:
		s.form, s.salt = formText, salt
	}
	switch n := len(def.GetVariants()); {
	case n == 0:
		c.add(at.field("variants"), "is empty; a split needs at least one variant")
		return s
	case n > maxVariants:
		c.add(at.field("variants"), "there are %d; at most %d are allowed", n, maxVariants)
		return s
	}
	seen := make(map[string]struct{}, len(def.GetVariants()))
	for i, w := range def.GetVariants() {
		at := at.item("variants", i)
		v := c.variant(at.field("variant"), w.GetVariant())
		if _, ok := seen[w.GetVariant()]; ok {
			c.add(at.field("variant"), "%s is listed twice; list each variant once", quote(w.GetVariant()))
		}
		seen[w.GetVariant()] = struct{}{}
		if w.GetWeight() > math.MaxInt32 {
			c.add(at.field("weight"), "%d is too large; at most 2^31-1", w.GetWeight())
		}
		s.total += uint64(w.GetWeight())
		if w.GetWeight() > 0 {
			s.shares = append(s.shares, share{end: s.total, variant: v})
		}
	}
	if s.total == 0 || s.total > math.MaxInt32 {
		c.add(at.field("variants"), "the weights add up to %d; they must add up to 1 to 2^31-1", s.total)
	}
	return s
}

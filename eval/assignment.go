package eval

// OutcomeNumber numbers the outcomes of a flag: the default outcome, then those of the rules, in
// their order. 0 is none of them.
type OutcomeNumber uint16

const defaultOutcome OutcomeNumber = 1

// Assignment tells which outcome's split assigned the variant, and the bucketing hash that it
// was assigned by. The outcome is 0 where no split did: another outcome was served, or there
// was an error.
func (r *Result) Assignment() (o OutcomeNumber, hash uint32) { return r.outcome, r.hash }

// Bucket is where a bucketing hash falls in a split whose weights add up to total: 0 to below
// total.
func Bucket(hash uint32, total uint64) uint64 { return uint64(hash) * total >> 32 }

// Split describes a split of a flag.
type Split struct {
	Outcome OutcomeNumber
	Total   uint64
	// Shares are those of more than zero weight, in the order of the split.
	Shares []Share
}

// Share is one variant's part of a split.
type Share struct {
	Variant *Variant
	Weight  uint64
}

// Split describes the split that the rule with that id serves, or, without an id, the
// default outcome; ok is false if there is none.
func (f *Flag) Split(rule string) (s Split, ok bool) {
	outcome := f.fallthru
	s.Outcome = defaultOutcome
	if rule != "" {
		r := f.rule(rule)
		if r == nil {
			return Split{}, false
		}
		outcome, s.Outcome = r.outcome, r.number
	}
	if outcome.split == nil {
		return Split{}, false
	}
	s.Total = outcome.split.total
	start := uint64(0)
	for _, share := range outcome.split.shares {
		s.Shares = append(s.Shares, Share{Variant: share.variant, Weight: share.end - start})
		start = share.end
	}
	return s, true
}

func (f *Flag) rule(id string) *rule {
	for i := range f.rules {
		if f.rules[i].id == id {
			return &f.rules[i]
		}
	}
	return nil
}

// Variants lists the names of the flag's variants, in their order.
func (f *Flag) Variants() []string {
	names := make([]string, len(f.variants))
	for i := range f.variants {
		names[i] = f.variants[i].Name
	}
	return names
}

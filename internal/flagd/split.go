package flagd

import (
	"math"
	"unicode"
	"unicode/utf8"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/jsondoc"
)

// maxWhole is the largest number that is hashed: 2^53-1.
const maxWhole = 1<<53 - 1

func isWhole(f float64) bool { return f == math.Trunc(f) && math.Abs(f) <= maxWhole }

// split writes a split; null for a context without the key.
func (w *writer) split(s *flagv1.Split) {
	w.needVersion(s.GetBucketingVersion())
	implied := s.GetBucketBy() == "" || s.GetBucketBy() == "targetingKey"
	salt := w.flag.GetKey()
	salted := s != nil && s.Salt != nil
	if salted {
		salt = s.GetSalt()
	}
	// Version 2 hashes the flag's key and the targeting key joined; version 3 a list of
	// the two, unless there is a salt.
	v3 := w.version == flagv1.BucketingVersion_BUCKETING_VERSION_3
	if implied && salt == w.flag.GetKey() && len(w.open) == 0 && (!v3 || !salted && s.GetBucketBy() == "") {
		w.shares("", s)
		return
	}
	if v3 && !salted && s.GetBucketBy() == "" {
		w.omit("the prerequisite %q splits with bucketing version 3 by its own key, which another flag cannot name", w.flag.GetKey())
		return
	}
	a := w.attribute(s.GetBucketBy())
	switch a.kind {
	case ofClock:
		w.omit("a split is by %q, which other systems cannot hash alike", s.GetBucketBy())
	case fromFlagKey:
		w.shares(joined(salt, a.operand), s)
	case asText:
		w.raw(`{"if":[`, a.operand, `,`)
		w.shares(joined(salt, a.operand), s)
		w.raw(`]}`)
	default:
		w.raw(`{"if":[`)
		w.canBeHashed(a.operand)
		w.raw(`,`)
		w.shares(joined(salt, `{"or":[`+a.operand+`,0]}`), s) // -0 is written 0
		w.raw(`]}`)
	}
}

// needVersion notes the version; flagd has one for all of a flag's expression.
func (w *writer) needVersion(v flagv1.BucketingVersion) {
	if v == flagv1.BucketingVersion_BUCKETING_VERSION_UNSPECIFIED {
		v = w.flag.GetBucketingVersion()
	}
	if v == flagv1.BucketingVersion_BUCKETING_VERSION_UNSPECIFIED {
		v = flagv1.BucketingVersion_BUCKETING_VERSION_2
	}
	if w.version != 0 && w.version != v {
		w.omit("its splits have different bucketing versions")
	}
	w.version = v
}

// shares writes the 'fractional'; key: what is hashed, empty for the flag's key and the
// targeting key.
func (w *writer) shares(key string, s *flagv1.Split) {
	if len(s.GetVariants()) == 0 {
		w.omit("a split has no variants")
	}
	w.raw(`{"fractional":[`)
	if key != "" {
		w.raw(key, `,`)
	}
	for i, v := range s.GetVariants() {
		if i > 0 {
			w.raw(`,`)
		}
		w.raw(`[`)
		w.variant(v.GetVariant())
		w.raw(`,`)
		w.number(float64(v.GetWeight()))
		w.raw(`]`)
	}
	w.raw(`]}`)
}

// joined joins the salt and the operand. flagd's 'cat' cuts off space at both ends, so
// that the ends are guarded by a character that 'substr' takes away again.
func joined(salt, operand string) string {
	begin, first := `{"substr":[{"cat":[`, `0`
	if r, _ := utf8.DecodeRuneInString(salt); salt == "" || unicode.IsSpace(r) {
		begin, first = begin+`".",`, `1`
	}
	b := []byte(begin)
	if salt != "" {
		b = append(jsondoc.AppendString(b, salt), ',')
	}
	return string(b) + operand + `,"."]},` + first + `,-1]}`
}

// canBeHashed writes that x is a string that is not empty or a whole number.
func (w *writer) canBeHashed(x string) {
	w.raw(`{"or":[{"in":[`, x, `,[0,1]]},{"and":[{"!!":[`, x, `]},{"or":[{"starts_with":[`, x, `,""]},`)
	w.raw(`{"and":[{"!==":[`, x, `,true]},{"<=":[-9007199254740991,`, x, `,9007199254740991]},{"===":[{"%":[`, x, `,1]},0]}]}]}]}]}`)
}

package flagd

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/jsondoc"
)

// schema is the JSON schema of what Export writes.
const schema = "https://flagd.dev/schema/v0/flags.json"

// Omission is a flag that has no form in flagd, and why.
type Omission struct {
	Flag   string
	Reason string
}

// Export writes the flags as a flagd definition that serves to every context the variant
// that the flags serve; the package says what else may differ. metadata is that of the
// set: strings, numbers and booleans.
//
// The flags and segments are those of one environment, and valid (see eval.Compile); of
// others, the JSON is well-formed, and no more. The same ones give the same bytes. omitted names the flags that are left out, in the order
// of their keys.
func Export(flags []*flagv1.Flag, segments []*flagv1.Segment, metadata *structpb.Struct) (data []byte, omitted []Omission) {
	var e Exporter
	return e.Export(flags, segments, metadata)
}

// Exporter is [Export] for an environment that changes little from one time to the next:
// it keeps the JSON of each flag for as long as the flag, and what it depends on, is the
// same message. Messages that it was given must not be modified. Not for concurrent use.
type Exporter struct {
	// Keys are those of the flags to write, nil for all: the others are there for what
	// depends on them.
	Keys []string

	flags      map[string]exported
	evaluators map[string]kept
}

// exported is the JSON of a flag, with what it was made of.
type exported struct {
	flag   *flagv1.Flag
	dep    dependencies
	json   []byte
	reason string // to leave it out
}

// kept is an evaluator with the segment that it was made of.
type kept struct {
	segment   *flagv1.Segment
	evaluator evaluator
}

// dependencies are the definitions that a flag's JSON depends on.
type dependencies struct {
	flags      []flagDependency
	segments   []segmentDependency
	evaluators []string // keys of the segments that are referred to
}

// A dependency on what does not exist is one too.
type flagDependency struct {
	key  string
	flag *flagv1.Flag
}

type segmentDependency struct {
	key     string
	segment *flagv1.Segment
}

func (d *dependencies) flag(key string, f *flagv1.Flag) {
	if !slices.Contains(d.flags, flagDependency{key, f}) {
		d.flags = append(d.flags, flagDependency{key, f})
	}
}

// environment is what one export is made of.
type environment struct {
	flags      map[string]*flagv1.Flag
	segments   map[string]*flagv1.Segment
	evaluators map[string]evaluator // by the key of the segment
}

// same tells whether the definitions are still the ones.
func (d *dependencies) same(env *environment) bool {
	for _, f := range d.flags {
		if env.flags[f.key] != f.flag {
			return false
		}
	}
	for _, s := range d.segments {
		if env.segments[s.key] != s.segment {
			return false
		}
	}
	return true
}

// Export is the function [Export], which tells what has changed since the last call by
// the identity of the messages.
func (e *Exporter) Export(flags []*flagv1.Flag, segments []*flagv1.Segment, metadata *structpb.Struct) (data []byte, omitted []Omission) {
	env := e.environment(flags, segments)
	keys := e.keys(env)
	now := make(map[string]exported, len(keys))
	used := map[string]struct{}{}
	size := 0
	for _, key := range keys {
		f, ok := e.flags[key]
		if !ok || f.flag != env.flags[key] || !f.dep.same(env) {
			f = exportFlag(env, env.flags[key])
		}
		now[key] = f
		if f.reason != "" {
			omitted = append(omitted, Omission{key, f.reason})
			continue
		}
		size += len(key) + len(f.json) + len(`"":,`)
		for _, segment := range f.dep.evaluators {
			used[segment] = struct{}{}
		}
	}
	e.keep(env, now)
	for segment := range used {
		size += 2*len(segment) + len(env.evaluators[segment].condition)
	}
	return env.file(keys, now, sortedNames(used), metadata, make([]byte, 0, size+1024)), omitted
}

// keys are those of the flags to write, in order.
func (e *Exporter) keys(env *environment) []string {
	keys := sortedNames(env.flags)
	if e.Keys != nil {
		keys = slices.DeleteFunc(keys, func(key string) bool { return !slices.Contains(e.Keys, key) })
	}
	return keys
}

// environment indexes the definitions, with the evaluators that are still right.
func (e *Exporter) environment(flags []*flagv1.Flag, segments []*flagv1.Segment) *environment {
	env := &environment{
		flags:      make(map[string]*flagv1.Flag, len(flags)),
		segments:   make(map[string]*flagv1.Segment, len(segments)),
		evaluators: make(map[string]evaluator, len(e.evaluators)),
	}
	for _, f := range flags {
		env.flags[f.GetKey()] = f
	}
	for _, s := range segments {
		env.segments[s.GetKey()] = s
		if k, ok := e.evaluators[s.GetKey()]; ok && k.segment == s {
			env.evaluators[s.GetKey()] = k.evaluator
		}
	}
	return env
}

func (e *Exporter) keep(env *environment, flags map[string]exported) {
	e.flags = flags
	e.evaluators = make(map[string]kept, len(env.evaluators))
	for key, v := range env.evaluators {
		e.evaluators[key] = kept{env.segments[key], v}
	}
}

// file appends the whole definition: a flag or an evaluator a line.
func (e *environment) file(keys []string, flags map[string]exported, used []string, metadata *structpb.Struct, b []byte) []byte {
	b = append(b, "{\n"...)
	if len(used) > 0 {
		b = append(b, "  \"$evaluators\": {"...)
		for i, segment := range used {
			b = beginLine(b, i, e.evaluators[segment].name)
			b = append(b, e.evaluators[segment].condition...)
		}
		b = append(b, "\n  },\n"...)
	}
	b = append(b, "  \"$schema\": "...)
	b = append(jsondoc.AppendString(b, schema), ",\n  \"flags\": {"...)
	written := 0
	for _, key := range keys {
		if f := flags[key]; f.reason == "" {
			b = append(beginLine(b, written, key), f.json...)
			written++
		}
	}
	if written > 0 {
		b = append(b, "\n  "...)
	}
	b = append(b, '}')
	if len(metadata.GetFields()) > 0 {
		b = append(b, ",\n  \"metadata\": "...)
		b = jsondoc.AppendObject(b, metadata)
	}
	return append(b, "\n}\n"...)
}

func beginLine(b []byte, i int, name string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return append(jsondoc.AppendString(append(b, "\n    "...), name), ": "...)
}

// exportFlag writes one flag.
func exportFlag(env *environment, f *flagv1.Flag) exported {
	w := writer{env: env, flag: f}
	defaultVariant := w.targeting(f)
	if len(w.buf) > maxTargeting {
		w.omit(tooLarge)
	}
	metadata := w.metadata(f)
	w.checkValues(f)
	made := exported{flag: f, dep: w.dep, reason: w.reason}
	if w.reason != "" {
		return made
	}
	b := make([]byte, 0, len(w.buf)+256)
	b = append(b, '{')
	if defaultVariant != "" {
		b = append(jsondoc.AppendString(append(b, `"defaultVariant":`...), defaultVariant), ',')
	}
	if len(metadata.GetFields()) > 0 {
		b = append(jsondoc.AppendObject(append(b, `"metadata":`...), metadata), ',')
	}
	state := `"state":"ENABLED",`
	if !f.GetEnabled() && f.GetOffVariant() == "" {
		state = `"state":"DISABLED",`
	}
	b = append(b, state...)
	if len(w.buf) > 0 {
		b = append(append(append(b, `"targeting":`...), w.buf...), ',')
	}
	made.json = append(appendVariants(append(b, `"variants":`...), f.GetVariants()), '}')
	return made
}

// targeting writes the flag's targeting, nothing if it has none, and returns its default
// variant.
func (w *writer) targeting(f *flagv1.Flag) (defaultVariant string) {
	if !f.GetEnabled() {
		return f.GetOffVariant()
	}
	// A split serves nothing to a context without its key, nor does a prerequisite that
	// is unmet where there is no off variant: then null must not lead to the default.
	complete := len(f.GetPrerequisites()) > 0 && f.GetOffVariant() == "" ||
		slices.ContainsFunc(f.GetRules(), func(r *flagv1.Rule) bool { return r.GetOutcome().GetSplit() != nil })
	d := w.decide(f, complete)
	switch {
	case w.reason != "":
	case d.open:
		if w.buf[0] != '{' { // a constant, where only an object can stand
			w.buf = append(append([]byte(`{"if":[true,`), w.buf...), `]}`...)
		}
		if !complete {
			return f.GetDefaultOutcome().GetVariant()
		}
	case d.byRule:
		w.raw(`{"if":[true,`)
		w.variant(d.variant)
		w.raw(`]}`)
	default:
		return d.variant
	}
	return ""
}

// versionName is the member of a flag's metadata that holds its bucketing version, where
// it is not flagd's own.
const versionName = "bucketingVersion"

// metadata returns the flag's, with the bucketing version.
func (w *writer) metadata(f *flagv1.Flag) *structpb.Struct {
	own, taken := f.GetMetadata().GetFields()[versionName]
	if n := own.GetNumberValue(); taken && (n == 2 || n == 3) {
		w.omit("its metadata holds %q, which stands for the version that fractional uses", versionName)
	}
	if w.version != flagv1.BucketingVersion_BUCKETING_VERSION_3 {
		return f.GetMetadata()
	}
	if taken {
		w.omit("its metadata holds %q, which would have to be 3", versionName)
	}
	fields := maps.Clone(f.GetMetadata().GetFields())
	if fields == nil {
		fields = map[string]*structpb.Value{}
	}
	fields[versionName] = structpb.NewNumberValue(float64(w.version))
	return &structpb.Struct{Fields: fields}
}

// appendVariants appends the variants in the order of their names.
func appendVariants(b []byte, variants []*flagv1.Variant) []byte {
	sorted := slices.SortedFunc(slices.Values(variants), func(a, b *flagv1.Variant) int {
		return strings.Compare(a.GetName(), b.GetName())
	})
	b = append(b, '{')
	for i, v := range sorted {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsondoc.AppendString(b, v.GetName()), ':')
		b = jsondoc.AppendValue(b, v.GetValue())
	}
	return append(b, '}')
}

// checkValues looks for what flagd would take for a reference to an evaluator, wherever
// it stands.
func (w *writer) checkValues(f *flagv1.Flag) {
	if f.GetType() != flagv1.ValueType_VALUE_TYPE_OBJECT {
		return
	}
	for _, v := range f.GetVariants() {
		if holdsReference(v.GetValue()) {
			w.omit(`the variant %q holds "$ref", which flagd would replace`, v.GetName())
		}
	}
}

func holdsReference(v *structpb.Value) bool {
	if slices.ContainsFunc(v.GetListValue().GetValues(), holdsReference) {
		return true
	}
	for name, member := range v.GetStructValue().GetFields() {
		if name == "$ref" || holdsReference(member) {
			return true
		}
	}
	return false
}

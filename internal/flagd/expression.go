package flagd

import (
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/internal/jsondoc"
)

// expression writes a rule's own JsonLogic as it is, but for the attributes of
// tidegate's that flagd does not provide and that follow from its time.
func (w *writer) expression(e *structpb.Value) {
	switch k := e.GetKind().(type) {
	case *structpb.Value_ListValue:
		w.list(len(k.ListValue.GetValues()), func(i int) { w.expression(k.ListValue.GetValues()[i]) })
	case *structpb.Value_StructValue:
		fields := k.StructValue.GetFields()
		if ofClock := clockVariable(fields); ofClock != "" {
			w.raw(`{"if":[`, timestamp, `,`, ofClock, `]}`)
			return
		}
		if _, ok := fields["fractional"]; ok {
			w.needVersion(0)
		}
		w.raw(`{`)
		for i, name := range sortedNames(fields) {
			if i > 0 {
				w.raw(`,`)
			}
			w.string(name)
			w.raw(`:`)
			w.expression(fields[name])
		}
		w.raw(`}`)
	default:
		w.buf = jsondoc.AppendValue(w.buf, e)
	}
}

// clockVariable returns what to write for a 'var' of the time of day or the weekday;
// empty for anything else.
func clockVariable(fields map[string]*structpb.Value) string {
	v := fields["var"]
	if l := v.GetListValue().GetValues(); len(l) == 1 {
		v = l[0]
	}
	switch v.GetStringValue() {
	case "$tidegate.timeOfDay":
		return timeOfDay
	case "$tidegate.weekday":
		return weekday
	}
	return ""
}

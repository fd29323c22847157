package eval

import "strings"

// source says where the value of an attribute comes from.
type source uint8

const (
	fromAttributes source = iota // Context.Attributes
	fromTargetingKey
	fromFlagKey
	fromTimestamp
	fromRegion
	fromTimeOfDay
	fromWeekday
	fromFlagd    // the object of the attributes that begin with '$flagd.'
	fromTidegate // the object of the attributes that begin with '$tidegate.'
	fromContext  // the object of all attributes
	fromNowhere  // a reserved name that stands for nothing
)

// Names that begin with these are reserved: callers cannot set them.
const (
	flagdRoot    = "$flagd"
	tidegateRoot = "$tidegate"
)

// environmental are the attributes that whoever evaluates provides.
var environmental = []struct {
	name   string
	source source
}{
	{"$flagd.flagKey", fromFlagKey},
	{"$flagd.timestamp", fromTimestamp},
	{"$tidegate.region", fromRegion},
	{"$tidegate.timeOfDay", fromTimeOfDay},
	{"$tidegate.weekday", fromWeekday},
}

func isEnvironmental(full string) bool {
	for _, e := range environmental {
		if full == e.name {
			return true
		}
	}
	return false
}

func environmentalNames() string {
	names := make([]string, len(environmental))
	for i, e := range environmental {
		names[i] = e.name
	}
	return strings.Join(names, ", ")
}

// reserved tells whether callers cannot set the attribute of that name.
func reserved(name string) bool {
	return name != "" && name[0] == '$' && (strings.HasPrefix(name, flagdRoot) || strings.HasPrefix(name, tidegateRoot))
}

// sourceOf tells where the first element of a path leads.
func sourceOf(name string) source {
	switch {
	case name == targetingKey:
		return fromTargetingKey
	case name == flagdRoot:
		return fromFlagd
	case name == tidegateRoot:
		return fromTidegate
	case reserved(name):
		return fromNowhere
	}
	return fromAttributes
}

// memberSource tells where a member of a reserved object leads.
func memberSource(object source, member string) source {
	switch {
	case object == fromFlagd && member == "flagKey":
		return fromFlagKey
	case object == fromFlagd && member == "timestamp":
		return fromTimestamp
	case object == fromTidegate && member == "region":
		return fromRegion
	case object == fromTidegate && member == "timeOfDay":
		return fromTimeOfDay
	case object == fromTidegate && member == "weekday":
		return fromWeekday
	case object == fromContext:
		return sourceOf(member)
	}
	return fromNowhere
}

// provided returns what does not come from the caller's attributes.
func provided(s source, ctx *Context, flagKey string) Value {
	switch s {
	case fromTargetingKey:
		return optionalString(ctx.TargetingKey)
	case fromFlagKey:
		return StringValue(flagKey)
	case fromRegion:
		return optionalString(ctx.Region)
	case fromFlagd, fromTidegate, fromContext:
		return Value{kind: kindReserved, bits: uint64(s)}
	}
	if ctx.Now == 0 {
		return Value{}
	}
	switch s {
	case fromTimestamp:
		return NumberValue(float64(ctx.Now))
	case fromTimeOfDay:
		return NumberValue(float64(ctx.Now-floorDay(ctx.Now)*secondsPerDay) / secondsPerHour)
	case fromWeekday: // 1970 began on a Thursday
		days := floorDay(ctx.Now) + 3
		return NumberValue(float64((days%7+7)%7 + 1))
	}
	return Value{}
}

const (
	secondsPerHour = 60 * 60
	secondsPerDay  = 24 * secondsPerHour
)

// floorDay counts whole days since 1970 UTC, downwards before.
func floorDay(seconds int64) int64 {
	days := seconds / secondsPerDay
	if seconds%secondsPerDay < 0 {
		days--
	}
	return days
}

// optionalString is s, absent if it is empty.
func optionalString(s string) Value {
	if s == "" {
		return Value{}
	}
	return StringValue(s)
}

package main

// slack is how much garbage may lie around, beside as much as there is in use, before it
// is collected. The runtime's own measure, as much as is in use, is little in a relay: with
// a thousand flags the collector would run for every few thousand evaluations, and cost a
// quarter of each.
const slack = 64 << 20

// reserve are slack bytes that are never touched: the collector counts them as in use,
// the system gives no memory for them.
type reserve []byte

// take takes them, unless the operator sets the collector. While flags are loaded, which
// leaves more garbage than anything later, it would be too early.
func (r *reserve) take(getenv func(string) string) {
	if getenv("GOGC") == "" && getenv("GOMEMLIMIT") == "" {
		*r = make([]byte, slack)
	}
}

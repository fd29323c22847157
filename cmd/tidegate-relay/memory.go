package main

// slack is how much garbage may lie around, beside as much as there is in use, before it
// is collected. The runtime's own measure, as much as is in use, is little in a relay: with
// a thousand flags the collector would run for every few thousand evaluations, and cost a
// quarter of each.
const slack = 32 << 20

// reserve takes slack bytes that are never touched: the collector counts them as in use,
// the system gives no memory for them. It is to be kept for as long as it shall help; nil
// where the operator sets the collector.
func reserve(getenv func(string) string) []byte {
	if getenv("GOGC") != "" || getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, slack)
}

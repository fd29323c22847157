package accesskey

// MaxKnown bounds what a Gate remembers.
const MaxKnown = maxKnown

// Known is how many callers a gate remembers.
func (g *Gate) Known() int {
	if known := g.known.Load(); known != nil {
		return len(*known)
	}
	return 0
}

package judge

import "math"

// Control health. If control itself is in trouble, the two arms have a trouble in common: to
// compare them says nothing against the treatment, and widening it now would be a change in
// the middle of an incident.
const (
	// recentFade halves what is recent in about 7 windows, beforeFade what was before in 700.
	recentFade = 0.9
	beforeFade = 0.999
	// troubled is how many times its usual rate control's must not be above.
	troubled = 3
	// leastUnits is how many units must have been seen before there is a usual rate.
	leastUnits = 200
	// troubledShare is how much of a window of trouble is taken for usual: a level that stays
	// is the usual one after an hour or so.
	troubledShare = 0.02
)

// observe takes in control's part of a window.
func (l *level) observe(events, exposures float64) {
	share := 1.0
	if l.troubled() {
		share = troubledShare
	}
	// What leaves the recent past is what was before.
	l.before.fade(1-float64(share*(1-beforeFade)), float64(share*float64((1-recentFade)*l.recent.events)),
		float64(share*float64((1-recentFade)*l.recent.exposures)))
	l.recent.fade(recentFade, events, exposures)
}

func (f *faded) fade(factor, events, exposures float64) {
	f.events = float64(f.events*factor) + events
	f.exposures = float64(f.exposures*factor) + exposures
}

// troubled says whether control has far more events of late than it had before, by more than
// chance. Its events may be the sum of a metric: those of a mean.
func (l *level) troubled() bool {
	if l.before.exposures < leastUnits || l.recent.exposures <= 0 {
		return false
	}
	usual := float64(float64((l.before.events+1)/l.before.exposures) * l.recent.exposures)
	return l.recent.events > float64(troubled*usual) && l.recent.events > usual+float64(4*math.Sqrt(usual))+4
}

// collapsed is troubled for what must not fall: control has far less than it had.
func (l *level) collapsed() bool {
	if l.before.exposures < leastUnits || l.recent.exposures <= 0 {
		return false
	}
	usual := float64(float64(l.before.events/l.before.exposures) * l.recent.exposures)
	return l.recent.events < usual/troubled && l.recent.events < usual-float64(4*math.Sqrt(usual))
}

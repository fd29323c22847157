//go:build !race

package tally_test

// raceEnabled: see race_test.go.
const raceEnabled = false

//go:build race

package tally_test

// raceEnabled: everything takes ten times as long.
const raceEnabled = true

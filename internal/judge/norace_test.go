//go:build !race

package judge_test

// raceEnabled: see race_test.go.
const raceEnabled = false

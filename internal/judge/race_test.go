//go:build race

package judge_test

// raceEnabled: everything takes ten times as long.
const raceEnabled = true

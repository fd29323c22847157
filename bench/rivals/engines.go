package main

import (
	"context"
	"io"

	growthbook "github.com/growthbook/growthbook-golang"
)

// engines are what the cases are built for.
var engines = []entrant[definition]{
	{"EvaluateFlag", newEvaluateFlag},
	{"Evaluate", newEvaluate},
	{"LaunchDarkly", newLaunchDarkly},
	{"GrowthBook", newGrowthBook},
	{"Statsig", newStatsig},
	{"by hand", newByHand},
}

// Where in engines those stand that are compared.
const (
	evaluateFlag = 0
	evaluate     = 1
	launchDarkly = 2
	byHand       = 5
)

// compareEngines prints the table of all cases. Ratios below 1 are in this project's
// favour.
func compareEngines(w io.Writer, m measurement, more int) error {
	header(w, "case", engines, "EvaluateFlag / LaunchDarkly", "Evaluate / LaunchDarkly", "EvaluateFlag / by hand")
	var bare, lookup, hand geometricMean
	for _, d := range definitions(more) {
		f, err := race(m, engines, d, d.name, d.on)
		if err != nil {
			return err
		}
		row(w, d.name, f,
			bare.ratio(f[evaluateFlag], f[launchDarkly]),
			lookup.ratio(f[evaluate], f[launchDarkly]),
			hand.ratio(f[evaluateFlag], f[byHand]))
	}
	row(w, "geometric mean", make([]figure, len(engines)), bare.String(), lookup.String(), hand.String())
	return buildingContexts(w, m)
}

// buildingContexts prints what it takes to bring a subject into the form that each
// engine wants.
func buildingContexts(w io.Writer, m measurement) error {
	client, err := growthbook.NewClient(context.Background())
	if err != nil {
		return err
	}
	defer client.Close()
	tide := func() bool { return tidegateContext(targetingKey) != nil }
	f := m.figures([]contender{
		{decide: tide},
		{decide: tide},
		{decide: func() bool { return launchDarklyContext(targetingKey).IsDefined() }},
		{decide: func() bool {
			_, err := client.WithAttributes(growthBookAttributes(targetingKey))
			return err == nil
		}},
		{decide: func() bool { return statsigUser(targetingKey).UserID != "" }},
		{},
	})
	row(w, "building the context", f, "", "", "")
	return nil
}

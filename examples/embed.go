// Package examples holds definitions to start from.
package examples

import _ "embed" // for Flags and Rollout

// Flags is flags.yaml: the flags that 'tidegate dev' starts with.
//
//go:embed flags.yaml
var Flags []byte

// Rollout is rollouts/new-checkout.yaml: a rollout of one of them.
//
//go:embed rollouts/new-checkout.yaml
var Rollout []byte

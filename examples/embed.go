// Package examples holds definitions to start from.
package examples

import _ "embed" // for Flags

// Flags is flags.yaml: the flags that 'tidegate dev' starts with.
//
//go:embed flags.yaml
var Flags []byte

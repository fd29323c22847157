// Package conformance proves that a relay is at home in the OpenFeature world: official
// providers of several languages, as their registries deliver them, run against the
// binaries as they ship. It has no code of its own; its tests need what 'make
// conformance' installs, and are built with the tag 'conformance'.
package conformance

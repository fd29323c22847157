// Package version tells which build this is.
package version

// Version is set by the linker for releases: -ldflags '-X .../internal/version.Version=v1.2.3'.
var Version = "dev"

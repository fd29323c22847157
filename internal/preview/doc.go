// Package preview tells what a change would do to the subjects that relays have answered
// lately: a relay keeps a sample of them for each flag (Sampler), evaluates it as the flags are
// and as they would be (Comparison), and what several relays found is merged (Merger) and told
// as shares (Estimate).
//
// A sample has the subjects whose hashes are lowest, of all that there were. So samples of
// several relays make exactly the sample of the union of their subjects, whoever was answered
// by which of them and however often, and its highest hash tells how many subjects there are.
//
// Promises: an answer costs a hash and a compare, unless its subject gets into the sample, which
// of n subjects about k*ln(n/k) do; memory is bounded. Contexts are kept in memory, until an hour
// after, and are in nothing that is told.
package preview

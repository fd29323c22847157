package streamcheck

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/internal/streamlog"
)

// Guarantee is one thing that is promised. It is the error that its violations are.
type Guarantee string

// What is promised of each environment of each process.
const (
	// Complete: the log has no gaps, else nothing else could be relied on.
	Complete Guarantee = "Complete"
	// Ordered: within an epoch the revision never goes back, over restarts from a state
	// directory too, and an epoch that was left does not come back.
	Ordered Guarantee = "Ordered"
	// Unique: no change is shown twice.
	Unique Guarantee = "Unique"
	// Atomic: what is shown is the store's state at the revision, whole.
	Atomic Guarantee = "Atomic"
	// Reliable: a change begins where the one before it ended, and is all that the store
	// changed in between, deletes included; else everything is replaced.
	Reliable Guarantee = "Reliable"
	// Resumable: a stream goes on only from a state that this very life of the store had.
	Resumable Guarantee = "Resumable"
	// Bookmarkable: a revision that advances without a change has passed over none.
	Bookmarkable Guarantee = "Bookmarkable"
	// Durable: what is shown was written before, what is acknowledged was synced before,
	// and a restart has no less; what was taken away stays away.
	Durable Guarantee = "Durable"
	// Age: a state is never said to be younger than it is.
	Age Guarantee = "Age"
	// Convergence: in the end everyone has the store's last state.
	Convergence Guarantee = "Convergence"
)

func (g Guarantee) Error() string { return "streamcheck: " + string(g) + " violated" }

// Violation is one broken promise.
type Violation struct {
	Guarantee   Guarantee
	Instance    string
	Environment string
	Reason      string
	// Records that show it, the last one last.
	Records []streamlog.Record
}

func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: instance %q, environment %q: %s", string(v.Guarantee), v.Instance, v.Environment, v.Reason)
	for _, r := range v.Records {
		fmt.Fprintf(&b, "\n\t%s", r)
	}
	return b.String()
}

func (v *Violation) Unwrap() error { return v.Guarantee }

// Report is the outcome of a check.
type Report struct {
	// Violations are the first of them, in the order of the logs.
	Violations []*Violation
	// Violated and Checked count for each guarantee the violations, and what was held to
	// it.
	Violated, Checked map[Guarantee]int
	// Resumed counts how streams went on: by streamlog's modes.
	Resumed map[string]int
	// Instances, Runs and Records that were read.
	Instances, Runs, Records int

	require []Guarantee
}

// maxViolations is how many are kept.
const maxViolations = 50

func newReport(require []Guarantee) *Report {
	return &Report{
		Violated: map[Guarantee]int{}, Checked: map[Guarantee]int{}, Resumed: map[string]int{},
		require: append([]Guarantee{Complete, Ordered, Atomic, Convergence}, require...),
	}
}

func (r *Report) add(v *Violation) {
	r.Violated[v.Guarantee]++
	if len(r.Violations) < maxViolations {
		r.Violations = append(r.Violations, v)
	}
}

// Err is nil if nothing was violated, and enough was checked to say so.
func (r *Report) Err() error {
	var errs []error
	for _, v := range r.Violations {
		errs = append(errs, v)
	}
	for _, g := range r.require {
		if r.Checked[g] == 0 {
			errs = append(errs, fmt.Errorf("streamcheck: nothing was checked for %s: the run shows nothing of it", string(g)))
		}
	}
	return errors.Join(errs...)
}

// String is one line of counts.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d instances, %d runs, %d records;", r.Instances, r.Runs, r.Records)
	for _, g := range slices.Sorted(maps.Keys(r.Checked)) {
		fmt.Fprintf(&b, " %s %d/%d", string(g), r.Violated[g], r.Checked[g])
	}
	for _, m := range slices.Sorted(maps.Keys(r.Resumed)) {
		fmt.Fprintf(&b, "; resumed %s %d", m, r.Resumed[m])
	}
	return b.String()
}

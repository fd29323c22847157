package controlplane

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// newWriteCounter counts writes that were well-formed, by what became of them.
func newWriteCounter() *prometheus.CounterVec {
	writes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_controlplane_writes_total",
		Help: "Writes by outcome: committed, unchanged (nothing differed), repeated (a retry), conflict, refused, unavailable, failed.",
	}, []string{"outcome"})
	for _, outcome := range []string{"committed", "unchanged", "repeated", "conflict", "refused", "unavailable", "failed"} {
		writes.WithLabelValues(outcome) // so that rates begin at 0
	}
	return writes
}

func (a *Authority) registerMetrics(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		a.writes,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidegate_controlplane_applied_revision",
			Help: "Revision of the store up to which its watch was applied.",
		}, func() float64 { return float64(a.applier.revision()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidegate_controlplane_store_reachable",
			Help: "1 if the store answered when it was last asked, which is twice a second; else 0.",
		}, func() float64 {
			if a.applier.reachable.Load() {
				return 1
			}
			return 0
		}),
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// outcome names what became of a write.
func outcome(w *written, err error) string {
	var (
		conflict     *ConflictError
		invalid      *InvalidError
		precondition *PreconditionError
		notFound     *NotFoundError
		exists       *ExistsError
	)
	switch {
	case err == nil && w.repeated:
		return "repeated"
	case err == nil && w.revision == 0:
		return "unchanged"
	case err == nil:
		return "committed"
	case errors.As(err, &conflict):
		return "conflict"
	case errors.As(err, &invalid), errors.As(err, &precondition), errors.As(err, &notFound), errors.As(err, &exists):
		return "refused"
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "unavailable"
	}
	return "failed"
}

package memstore_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	"github.com/tidegate/tidegate/controlplane/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		s := memstore.New()
		t.Cleanup(func() { _ = s.Close() })
		return storetest.Subject{
			Store:   s,
			Compact: func(_ context.Context, revision int64) error { return s.Compact(revision) },
		}
	})
}

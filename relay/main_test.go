package relay

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(relayUpstream) != "" {
		beRelay()
	}
	goleak.VerifyTestMain(m)
}

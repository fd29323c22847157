package collector

import (
	"slices"
	"strings"
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Account tells what became of exposures and observations, as far as senders have told of
// them. Emitted is the sum of all others.
type Account struct {
	// Emitted by the senders.
	Emitted uint64
	// Counted: committed, and given to the judge.
	Counted uint64
	// Lost: declared by the senders.
	Lost uint64
	// Refused: of batches that made no sense.
	Refused uint64
	// Late: told of by a sender that may have been forgotten, so that nobody can say whether they
	// were counted before.
	Late uint64
	// Missing: what is left. It neither came, nor did the sender declare it lost.
	Missing uint64
}

func (a *Account) add(b Account) {
	a.Emitted += b.Emitted
	a.Counted += b.Counted
	a.Lost += b.Lost
	a.Refused += b.Refused
	a.Late += b.Late
	a.Missing += b.Missing
}

func (a Account) message() *telemetryv1.LedgerAccount {
	return &telemetryv1.LedgerAccount{
		Emitted: a.Emitted, Counted: a.Counted, Lost: a.Lost, Refused: a.Refused, Late: a.Late, Missing: a.Missing,
	}
}

func accountOf(m *telemetryv1.LedgerAccount) Account {
	return Account{
		Emitted: m.GetEmitted(), Counted: m.GetCounted(), Lost: m.GetLost(),
		Refused: m.GetRefused(), Late: m.GetLate(), Missing: m.GetMissing(),
	}
}

// Sender is one boot of one instance.
type Sender struct {
	InstanceID, BootID string
	// Sequence of the newest batch that was committed.
	Sequence uint64
	Account  Account
	// Since the first batch came, and Seen when the newest did; to the minute.
	Since, Seen time.Time
}

// Account returns the sum over all senders that ever were, as committed; false: this server
// does not collect, and does not know.
func (c *Collector) Account() (Account, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ledger == nil {
		return Account{}, false
	}
	return c.ledger.account(), true
}

// Senders lists those that are not forgotten, by instance and boot; false: as for Account.
func (c *Collector) Senders() ([]Sender, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ledger == nil {
		return nil, false
	}
	list := make([]Sender, 0, len(c.ledger.byID))
	for _, s := range c.ledger.byID {
		list = append(list, Sender{
			InstanceID: s.id.instance, BootID: s.id.boot, Sequence: s.mark.sequence, Account: s.mark.account(),
			Since: time.Unix(int64(s.since)*60, 0).UTC(), Seen: time.Unix(int64(s.seen)*60, 0).UTC(),
		})
	}
	slices.SortFunc(list, func(a, b Sender) int {
		if by := strings.Compare(a.InstanceID, b.InstanceID); by != 0 {
			return by
		}
		return strings.Compare(a.BootID, b.BootID)
	})
	return list, true
}

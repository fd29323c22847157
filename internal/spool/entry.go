package spool

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Entry is what Append takes.
type Entry struct {
	// Batch without sender and tally, which the spool adds.
	Batch *telemetryv1.Batch
	// Counted events are in the batch; Lost ones were thrown away since the last batch of
	// any environment. Together they are what was emitted since.
	Counted, Lost uint64
	// Marks are senders below, each with the highest sequence whose message is, with all
	// before it, in this batch and earlier ones. They become durable with the batch.
	Marks []*telemetryv1.Sender
}

// Receipt says what became of an entry.
type Receipt struct {
	// Sender under which the batch is sent.
	Sender *telemetryv1.Sender
	// Durable: it survives the machine. Else it is in memory, as there is no directory, or it
	// cannot be written at the moment.
	Durable bool
}

// encode checks an entry, and returns its batch as it is stored.
func (e *Entry) encode() ([]byte, error) {
	for _, m := range e.Marks {
		if max(len(m.GetInstanceId()), len(m.GetBootId())) > maxID {
			return nil, fmt.Errorf("spool: a sender's ids have at most %d bytes each", maxID)
		}
	}
	if e.Batch == nil || e.Batch.GetSender() != nil || e.Batch.GetTally() != nil {
		return nil, errors.New("spool: want a batch without sender and tally")
	}
	content, err := proto.Marshal(e.Batch)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if len(content) > MaxBatchBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d can be sent: make batches of less time", ErrTooLarge, len(content), MaxBatchBytes)
	}
	return content, nil
}

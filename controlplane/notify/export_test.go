package notify

// SetMaxWaiting lets a test fill an outbox.
func (n *Notifier) SetMaxWaiting(most int) { n.maxWaiting = most }

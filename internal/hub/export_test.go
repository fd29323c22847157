package hub

// Purge does what a feed does when all that there is of its environment is taken away.
func (h *Hub) Purge(environment string) {
	h.feedsMu.Lock()
	f := h.feeds[environment]
	h.feedsMu.Unlock()
	for _, sc := range f.move(gathering{some: true, purged: true}, nil) {
		sc.wake()
	}
}

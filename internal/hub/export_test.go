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

// PreviewsWaitFor is for how many followers previews wait.
func (h *Hub) PreviewsWaitFor() (n int) {
	h.previews.mu.Lock()
	defer h.previews.mu.Unlock()
	for _, q := range h.previews.open {
		n += len(q.waiting)
	}
	return n
}

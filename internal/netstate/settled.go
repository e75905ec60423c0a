package netstate

// Settled reports whether every neighbour that is kept resolved (gateways, and
// what Manage named) is resolved in the latest State. One that is dead never
// will be, so whoever waits for it needs a limit.
func (w *Watcher) Settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	resolved := make(map[adjacency]bool, len(w.input.Neighbours))
	for _, n := range w.input.Neighbours {
		resolved[adjacency{n.Addr, n.Link}] = true
	}
	for key := range w.keeper.wanted {
		if !resolved[key] {
			return false
		}
	}
	return true
}

package netstate

import (
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"appliance/internal/fib"
)

// A keeper knows which neighbours the kernel shall keep resolved.
type keeper struct {
	backends []netip.Addr             // as Manage was told
	wanted   map[adjacency]bool       // what backends and routes amount to now
	asked    map[adjacency]time.Time  // what the kernel was asked to manage, and when last
	probed   map[netip.Addr]time.Time // what Resolve has asked for, and when last
}

func newKeeper() keeper {
	return keeper{asked: map[adjacency]time.Time{}, probed: map[netip.Addr]time.Time{}}
}

// want works out which neighbours are wanted: all gateways, and those backends
// that are neighbours themselves. in is what table was compiled from.
func (k *keeper) want(table *fib.Table, in fib.Input) {
	k.wanted = map[adjacency]bool{}
	up := map[int]bool{}
	for _, l := range in.Links {
		up[l.Index] = l.Up
	}
	for _, r := range in.Routes {
		for _, h := range r.Hops {
			if h.Via.IsValid() && up[h.Link] {
				k.wanted[adjacency{h.Via, h.Link}] = true
			}
		}
	}
	for _, backend := range k.backends {
		for _, key := range nextHops(table, backend) {
			k.wanted[key] = true
		}
	}
}

// nextHops returns the neighbours that packets to dst go to.
func nextHops(table *fib.Table, dst netip.Addr) []adjacency {
	var keys []adjacency
	for _, hop := range table.Explain(dst).Hops {
		if !hop.Addr.IsValid() {
			hop.Addr = dst
		}
		keys = append(keys, adjacency{hop.Addr, hop.Link})
	}
	return keys
}

// noticed takes note of a neighbour message, and reports whether there is
// something to mend: a wanted entry that is gone.
func (k *keeper) noticed(key adjacency, gone bool) bool {
	if !gone || !k.wanted[key] {
		return false
	}
	k.asked[key] = time.Time{}
	return true
}

// Manage makes addrs the whole set of backends whose neighbours are kept
// resolved: themselves if they are on a link, else the gateways towards them.
// Gateways of routes over the configured interfaces are kept resolved always.
func (w *Watcher) Manage(addrs []netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keeper.backends = make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		w.keeper.backends = append(w.keeper.backends, a.Unmap().WithZone(""))
	}
	if w.kernel == nil {
		return
	}
	w.keeper.want(w.Current().FIB, w.input)
	w.keepNeighbours(time.Now())
}

// Resolve asks the kernel to resolve the next hops towards addr, once: for
// destinations that packets wait for and that Manage doesn't name. Whether it
// worked shows in a later State. It asks at most once a second for an address,
// for at most 4096 addresses a second; more is ignored, since whoever waits
// asks again.
func (w *Watcher) Resolve(addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	addr = addr.Unmap().WithZone("")
	if w.kernel == nil || !w.keeper.mayProbe(addr, time.Now()) {
		return
	}
	keys := nextHops(w.Current().FIB, addr)
	if addr.Is6() && addr.IsLinkLocalUnicast() { // a gateway: it has no route
		for key := range w.keeper.wanted {
			if key.addr == addr {
				keys = append(keys, key)
			}
		}
	}
	for _, key := range keys {
		if n := w.view.neighbours[key]; !n.valid {
			w.ask(key, w.keeper.wanted[key])
		}
	}
}

// mayProbe reports whether Resolve may ask for addr now, and remembers that it
// did.
func (k *keeper) mayProbe(addr netip.Addr, now time.Time) bool {
	if now.Sub(k.probed[addr]) < resolveRetry {
		return false
	}
	if len(k.probed) >= resolveMost {
		for a, last := range k.probed {
			if now.Sub(last) >= resolveRetry {
				delete(k.probed, a)
			}
		}
		if len(k.probed) >= resolveMost {
			return false
		}
	}
	k.probed[addr] = now
	return true
}

// keepNeighbours asks the kernel to manage what is wanted and isn't managed,
// and to let go of what isn't wanted any more. Called with mu held.
func (w *Watcher) keepNeighbours(now time.Time) {
	w.releaseNeighbours(false)
	for key := range w.keeper.wanted {
		last, asked := w.keeper.asked[key]
		n := w.view.neighbours[key]
		switch {
		case n.fixed:
			// Asking would turn it into one that expires.
		case n.managed && asked, now.Sub(last) < manageRetry:
		default:
			w.keeper.asked[key] = now
			w.ask(key, true)
		}
	}
}

// releaseNeighbours makes ordinary entries of those that were managed for us
// and aren't wanted any more; unseen ones too, those of which nobody has seen yet
// whether the kernel does as it was asked. Called with mu held.
func (w *Watcher) releaseNeighbours(unseen bool) {
	for key := range w.keeper.asked {
		if w.keeper.wanted[key] {
			continue
		}
		delete(w.keeper.asked, key)
		if unseen || w.view.neighbours[key].managed {
			w.ask(key, false)
		}
	}
}

// ask makes the kernel resolve a neighbour now, and keep it resolved if managed
// says so. Without managed, an entry that was managed is so no longer.
//
// NTF_USE resolves it on every kernel. NTF_EXT_LEARNED exempts the entry from
// garbage collection, whose default threshold is 1024 neighbours.
func (w *Watcher) ask(key adjacency, managed bool) {
	n := &netlink.Neigh{LinkIndex: key.link, IP: key.addr.AsSlice(), Flags: netlink.NTF_USE}
	if managed {
		n.Flags |= netlink.NTF_EXT_LEARNED
		n.FlagsExt = netlink.NTF_EXT_MANAGED
	}
	if err := w.kernel.route.NeighSet(n); err != nil {
		w.cfg.Log.Debug("neighbour can't be resolved", "address", key.addr, "link", key.link, "error", err)
	}
}

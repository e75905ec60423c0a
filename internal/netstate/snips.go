package netstate

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// snips are the SNIPs that the kernel shall hold.
type snips struct {
	lifetime time.Duration // whole seconds: how long one stays without a refresh
	retry    time.Duration // between attempts to put one back, or to announce it
	wanted   map[netip.Addr]*snip
}

// A snip is what became of one SNIP.
type snip struct {
	link    int       // index of the link it was last put on; 0: nowhere
	home    home      // as the last try found it
	tried   time.Time // when that was
	told    int       // announcements made since home was last another
	failure string    // of the last try; so that the log tells it once
}

// A home is the link that a SNIP belongs on, as far as that concerns its
// neighbours. The zero home is none.
type home struct {
	link int // index
	mac  [6]byte
	up   bool
}

func homeOf(l netlink.Link) home {
	if l == nil {
		return home{}
	}
	a := l.Attrs()
	return home{a.Index, macOf(a.HardwareAddr), isUp(a)}
}

// announcements is how often a SNIP is announced, snipRetry apart: one frame may
// be lost (RFC 5227 section 2.3 has two, RFC 4861 section 7.2.6 three).
const announcements = 3

func newSNIPs() snips {
	return snips{lifetime: snipLifetime, retry: snipRetry, wanted: map[netip.Addr]*snip{}}
}

// SetSNIPs makes addrs the whole set of SNIPs that the kernel holds. Each is put
// on the configured interface (or VLAN of one) with the longest prefix that
// contains it, else on the first server-plane interface that exists. It is
// refreshed while Run runs, and follows its interface when that is away and
// comes back.
//
// The error wraps ErrBadSNIP or ErrNotDedicated, and nothing has changed then;
// or it wraps ErrNoHome or what the kernel said, and what failed is tried again
// by Run.
func (w *Watcher) SetSNIPs(addrs []netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kernel == nil {
		return fmt.Errorf("netstate: set SNIPs: %w", net.ErrClosed)
	}
	for _, a := range addrs {
		if err := w.checkSNIP(a); err != nil {
			return fmt.Errorf("netstate: set SNIPs: %s: %w", a, err)
		}
	}
	err := w.removeSNIPs(func(a netip.Addr) bool { return !slices.Contains(addrs, a) })
	for _, a := range addrs {
		if w.snips.wanted[a] == nil {
			w.snips.wanted[a] = &snip{}
		}
	}
	if err = errors.Join(err, w.keepSNIPs(time.Now())); err != nil {
		return fmt.Errorf("netstate: set SNIPs: %w", err)
	}
	return nil
}

// checkSNIP returns why a can't be a SNIP, or nil. An address of full length
// with a lifetime is one that a killed predecessor left.
func (w *Watcher) checkSNIP(a netip.Addr) error {
	if !a.IsGlobalUnicast() || a.Is4In6() {
		return ErrBadSNIP
	}
	for _, have := range w.view.addrs {
		p := prefixOf(have.IPNet)
		if p.IsValid() && p.Addr() == a && (!p.IsSingleIP() || have.Flags&unix.IFA_F_PERMANENT != 0) {
			return ErrNotDedicated
		}
	}
	return nil
}

// keepSNIPs puts SNIPs where they belong: those whose home has changed at once,
// those that are missing or not announced often enough soon, the others when a
// third of their lifetime is over. Called with mu held.
func (w *Watcher) keepSNIPs(now time.Time) error {
	var errs []error
	for _, a := range slices.SortedFunc(maps.Keys(w.snips.wanted), netip.Addr.Compare) {
		s := w.snips.wanted[a]
		link := w.view.home(a, &w.cfg)
		is, since := homeOf(link), now.Sub(s.tried)
		moved := is != s.home
		missing := link == nil || !w.view.has(a, is.link) || is.up && s.told < announcements
		if !moved && since < w.snips.lifetime/3 && !(missing && since >= w.snips.retry) {
			continue
		}
		if moved {
			s.told = 0
		}
		s.home, s.tried = is, now
		err := w.placeSNIP(a, s, link)
		if err != nil && err.Error() != s.failure {
			w.cfg.Log.Warn("SNIP can't be put on an interface, will try again", "snip", a, "error", err)
		}
		s.failure = ""
		if err != nil {
			s.failure = err.Error()
			errs = append(errs, fmt.Errorf("%s: %w", a, err))
		}
	}
	return errors.Join(errs...)
}

// placeSNIP puts one SNIP on its home, or refreshes it there, and announces it
// if that is due.
func (w *Watcher) placeSNIP(a netip.Addr, s *snip, link netlink.Link) error {
	if link == nil {
		s.link = 0
		return ErrNoHome
	}
	attrs := link.Attrs()
	if s.link != attrs.Index {
		if s.link != 0 {
			_ = w.kernel.removeAddr(a, s.link) // the link may be gone, and takes it along
		}
		s.link = attrs.Index
	}
	if err := w.kernel.putAddr(a, attrs.Index, w.snips.lifetime); err != nil {
		return fmt.Errorf("add to %s: %w", attrs.Name, err)
	}
	if s.told == announcements || !s.home.up {
		return nil
	}
	if err := w.kernel.announce(a, attrs.Index, s.home.mac); err != nil {
		return fmt.Errorf("announce on %s: %w", attrs.Name, err)
	}
	if s.told++; s.told == 1 {
		w.cfg.Log.Info("SNIP added and announced", "snip", a, "interface", attrs.Name)
	}
	return nil
}

// removeSNIPs removes those that gone names. Called with mu held.
func (w *Watcher) removeSNIPs(gone func(netip.Addr) bool) error {
	var errs []error
	for a, s := range w.snips.wanted {
		if !gone(a) {
			continue
		}
		delete(w.snips.wanted, a)
		if s.link == 0 {
			continue
		}
		err := w.kernel.removeAddr(a, s.link)
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("remove %s: %w", a, err))
		}
	}
	return errors.Join(errs...)
}

// held returns the SNIPs that the kernel holds, sorted by address.
func (s *snips) held(v *view, cfg *Config) []SNIP {
	var all []SNIP
	for a := range s.wanted {
		if home := v.home(a, cfg); home != nil && v.has(a, home.Attrs().Index) {
			all = append(all, SNIP{Addr: a, Link: home.Attrs().Name})
		}
	}
	slices.SortFunc(all, func(a, b SNIP) int { return a.Addr.Compare(b.Addr) })
	return all
}

// Guard says that the kernel doesn't see what comes to SNIPs through the
// interface of that name, as long as it has that index: SNIPs may be put on it.
func (w *Watcher) Guard(name string, index int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kernel == nil || w.view.guarded[name] == index {
		return
	}
	w.view.guarded[name] = index
	w.keepSNIPs(time.Now())
}

// mayHold reports whether SNIPs may be put on a configured interface.
func (v *view) mayHold(name string, cfg *Config) bool {
	l := v.link(name)
	return l != nil && (!cfg.Guarded || v.guarded[name] == l.Attrs().Index)
}

// home returns the link that a SNIP belongs on, or nil while none may hold it.
func (v *view) home(a netip.Addr, cfg *Config) (home netlink.Link) {
	longest := -1
	for _, l := range v.fibLinks(cfg) {
		if !v.mayHold(cfg.Interfaces[l.Interface].Name, cfg) {
			continue
		}
		for _, have := range v.addrs {
			p := connected(have)
			if have.LinkIndex == l.Index && p.Contains(a) && !p.IsSingleIP() && p.Bits() > longest {
				home, longest = v.linkByIndex(l.Index), p.Bits()
			}
		}
	}
	for _, i := range cfg.Interfaces {
		if home == nil && i.Server && v.mayHold(i.Name, cfg) {
			home = v.link(i.Name)
		}
	}
	return home
}

// connected returns the prefix that an address makes directly reachable.
func connected(a netlink.Addr) netip.Prefix {
	if a.Peer != nil {
		return prefixOf(a.Peer).Masked()
	}
	return prefixOf(a.IPNet).Masked()
}

// has reports whether the link holds the address at full length.
func (v *view) has(a netip.Addr, link int) bool {
	return slices.ContainsFunc(v.addrs, func(have netlink.Addr) bool {
		return have.LinkIndex == link && prefixOf(have.IPNet) == netip.PrefixFrom(a, a.BitLen())
	})
}

// putAddr adds an address of full length, or refreshes it.
func (k *kernel) putAddr(a netip.Addr, link int, lifetime time.Duration) error {
	addr := hostAddr(a, link)
	addr.Flags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
	addr.ValidLft = int(lifetime / time.Second)
	addr.PreferedLft = 0 // deprecated: never a source address of the node's own choice (RFC 6724 rule 3)
	return k.route.AddrReplace(nil, addr)
}

func (k *kernel) removeAddr(a netip.Addr, link int) error {
	return k.route.AddrDel(nil, hostAddr(a, link))
}

func hostAddr(a netip.Addr, link int) *netlink.Addr {
	return &netlink.Addr{
		IPNet:     &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
		LinkIndex: link,
		Broadcast: net.IPv4zero, // none
	}
}

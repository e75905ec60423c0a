package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// MaxDenied is how many prefixes a list of denied sources may have: the networks
// of a country are some thousands. A set may hold several lists.
const MaxDenied = 32768

// Denied is the set of sources that VIPs get nothing from: prefixes of IPv4 and
// IPv6 addresses, in a trie that the programs of all interfaces share. A frame's
// source is looked up once its destination has turned out to be a VIP, so an
// empty set costs other frames nothing. Its methods may be called from any
// goroutine.
type Denied struct {
	kernel   *ebpf.Map
	capacity int

	mu  sync.Mutex
	set map[netip.Prefix]bool // what kernel holds
}

// NewDenied returns an empty set with room for capacity prefixes, at least one.
// A prefix costs some 100 bytes of kernel memory, once it is there.
func NewDenied(capacity int) (*Denied, error) {
	spec, err := loadRedirect()
	if err != nil {
		return nil, fmt.Errorf("xdp: denied: %w", err)
	}
	// Kernels before 5.11 charge maps to the locked memory limit.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("xdp: denied: raise the locked memory limit: %w", err)
	}
	m := spec.Maps[redirectMapDenied]
	m.MaxEntries = 2 * uint32(capacity) // Set holds old and new ones at a time
	kernel, err := ebpf.NewMap(m)
	if err != nil {
		return nil, fmt.Errorf("xdp: denied: make a trie of %d: %w", capacity, explain(err))
	}
	return &Denied{kernel: kernel, capacity: capacity, set: make(map[netip.Prefix]bool)}, nil
}

// Set makes want, in which a prefix may be twice, the set: by adding what is new
// and then removing what is not in it. So a source that was denied and still is
// passes at no moment, also when another prefix denies it now.
//
// If the kernel refuses one, Set fails with the rest undone; calling it again
// goes on from there. A set that cannot be is refused whole.
func (d *Denied) Set(want []netip.Prefix) error {
	wanted := make(map[netip.Prefix]bool, len(want))
	for _, p := range want {
		if err := CheckDenied(p); err != nil {
			return fmt.Errorf("xdp: denied: %w", err)
		}
		wanted[p] = true
	}
	if len(wanted) > d.capacity {
		return fmt.Errorf("xdp: denied: %d prefixes, but room for %d", len(wanted), d.capacity)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for p := range wanted {
		if d.set[p] {
			continue
		}
		if err := d.kernel.Put(trieKey(p), uint8(1)); err != nil {
			return fmt.Errorf("xdp: denied: add %v: %w", p, err)
		}
		d.set[p] = true
	}
	for p := range d.set {
		if wanted[p] {
			continue
		}
		if err := d.kernel.Delete(trieKey(p)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("xdp: denied: remove %v: %w", p, err)
		}
		delete(d.set, p)
	}
	return nil
}

// All returns a copy of the set, in order of addresses.
func (d *Denied) All() []netip.Prefix {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]netip.Prefix, 0, len(d.set))
	for p := range d.set {
		all = append(all, p)
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all
}

// Close releases the set. Programs that were loaded with it keep the trie, and
// what was in it, until they are closed.
func (d *Denied) Close() error { return d.kernel.Close() }

// mapped are the IPv4 addresses as the trie has them (RFC 4291 section 2.5.5.2),
// mappedBits how long that prefix is.
var mapped = netip.MustParsePrefix("::ffff:0:0/96")

const mappedBits = 96

// trieKey returns a prefix as the trie has it.
func trieKey(p netip.Prefix) redirectPrefix {
	length := p.Bits()
	if p.Addr().Is4() {
		length += mappedBits
	}
	return redirectPrefix{Length: uint32(length), Address: redirectAddress{Bytes: p.Addr().As16()}}
}

// CheckDenied returns nil if a prefix can be denied, else what is wrong with it
// and what would be right. 0.0.0.0/0 can: it closes the VIPs to IPv4. Its sibling
// ::/0, and what else has the IPv4-mapped addresses in it, would close them to
// IPv4 too, which it doesn't say.
func CheckDenied(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("no prefix: give one, like 198.51.100.0/24 or 2001:db8::/32")
	case p != p.Masked():
		return fmt.Errorf("%v has bits behind its length: give %v, or %v/%d for the address alone", p, p.Masked(), a, a.BitLen())
	case a.Is4():
		return nil
	case a.Is4In6():
		return fmt.Errorf("%v: write it as a prefix of IPv4 addresses", p)
	case p.Overlaps(mapped):
		return fmt.Errorf("%v holds the IPv4-mapped addresses, all of IPv4: give 2000::/3 for all of IPv6 that hosts have", p)
	}
	return nil
}

// ParseDenied reads a prefix that can be denied, or an address, which is a
// prefix of one.
func ParseDenied(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if a, bad := netip.ParseAddr(s); bad == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no prefix: give one, like 198.51.100.0/24 or 2001:db8::/32, or an address", s)
	}
	return p, CheckDenied(p)
}

package xdp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// Kind says what an address is to the appliance, and so which of its frames
// the program redirects.
type Kind uint32

// The kinds. The zero Kind is none.
const (
	VIP  = Kind(redirectKindKIND_VIP)  // everything IP is ours
	SNIP = Kind(redirectKindKIND_SNIP) // TCP, UDP, fragments and ICMP errors are ours
)

// DefaultAddresses is how many addresses a set holds unless told otherwise.
// An entry costs about 80 bytes of kernel memory, whether used or not.
const DefaultAddresses = 16384

// Addresses is the set of addresses that are the appliance's, in a map that the
// programs of all interfaces share. Its methods may be called from any
// goroutine.
type Addresses struct {
	kernel   *ebpf.Map
	capacity int

	mu  sync.Mutex
	set map[netip.Addr]Kind // what kernel holds
}

// NewAddresses returns an empty set with room for capacity addresses; 0 means
// DefaultAddresses.
func NewAddresses(capacity int) (*Addresses, error) {
	if capacity == 0 {
		capacity = DefaultAddresses
	}
	spec, err := loadRedirect()
	if err != nil {
		return nil, fmt.Errorf("xdp: addresses: %w", err)
	}
	// Kernels before 5.11 charge maps to the locked memory limit.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("xdp: addresses: raise the locked memory limit: %w", err)
	}
	m := spec.Maps[redirectMapAddresses]
	m.MaxEntries = uint32(capacity)
	kernel, err := ebpf.NewMap(m)
	if err != nil {
		return nil, fmt.Errorf("xdp: addresses: make a map of %d: %w", capacity, explain(err))
	}
	return &Addresses{kernel: kernel, capacity: capacity, set: make(map[netip.Addr]Kind)}, nil
}

// Set makes want the set, by removing what is not in it and then adding what is
// new. An address that stays is never absent in between. IPv4-mapped addresses
// count as IPv4.
//
// If the kernel refuses one, Set fails with the rest undone; calling it again
// goes on from there. A set that cannot be is refused whole.
func (a *Addresses) Set(want map[netip.Addr]Kind) error {
	clean := make(map[netip.Addr]Kind, len(want))
	for addr, kind := range want {
		if !addr.IsValid() || addr.Zone() != "" {
			return fmt.Errorf("xdp: addresses: %q is no address that a packet can carry", addr)
		}
		if kind != VIP && kind != SNIP {
			return fmt.Errorf("xdp: addresses: %v: unknown kind %d", addr, kind)
		}
		clean[addr.Unmap()] = kind
	}
	if len(clean) > a.capacity {
		return fmt.Errorf("xdp: addresses: %d VIPs and SNIPs, but room for %d", len(clean), a.capacity)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr := range a.set {
		if _, stays := clean[addr]; stays {
			continue
		}
		if err := a.kernel.Delete(addr.As16()); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("xdp: addresses: remove %v: %w", addr, err)
		}
		delete(a.set, addr)
	}
	for addr, kind := range clean {
		if a.set[addr] == kind {
			continue
		}
		if err := a.kernel.Put(addr.As16(), uint32(kind)); err != nil {
			return fmt.Errorf("xdp: addresses: add %v: %w", addr, err)
		}
		a.set[addr] = kind
	}
	return nil
}

// All returns a copy of the set.
func (a *Addresses) All() map[netip.Addr]Kind {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.set)
}

// Close releases the set. Programs that were loaded with it keep the map, and
// what was in it, until they are closed.
func (a *Addresses) Close() error { return a.kernel.Close() }

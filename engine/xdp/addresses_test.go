package xdp

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"appliance/internal/privtest"
)

// kernelSet reads the kernel's map back.
func kernelSet(t interface{ Fatal(...any) }, a *Addresses) map[netip.Addr]Kind {
	got := make(map[netip.Addr]Kind)
	var key [16]byte
	var kind uint32
	entries := a.kernel.Iterate()
	for entries.Next(&key, &kind) {
		got[netip.AddrFrom16(key).Unmap()] = Kind(kind)
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestSetIsTheWholeSet sets one random set after another, up to the map's
// capacity, and compares what the kernel has.
func TestSetIsTheWholeSet(t *testing.T) {
	a, err := NewAddresses(32)
	if err != nil {
		privtest.Unable(t, "make a BPF map", err)
	}
	defer a.Close()
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		n := rapid.Uint32Range(0, 63).Draw(t, "address")
		if rapid.Bool().Draw(t, "IPv6") {
			b := netip.MustParseAddr("2001:db8::").As16()
			binary.BigEndian.PutUint32(b[12:], n)
			return netip.AddrFrom16(b)
		}
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
	})
	rapid.Check(t, func(t *rapid.T) {
		for range 4 {
			want := rapid.MapOfN(address, rapid.SampledFrom([]Kind{VIP, SNIP}), 0, 32).Draw(t, "set")
			if err := a.Set(want); err != nil {
				t.Fatal(err)
			}
			if got := kernelSet(t, a); !maps.Equal(got, want) {
				t.Fatalf("the kernel has %v, want %v", got, want)
			}
			if got := a.All(); !maps.Equal(got, want) {
				t.Fatalf("All() = %v, want %v", got, want)
			}
		}
	})
}

func TestSetRefuses(t *testing.T) {
	a, err := NewAddresses(2)
	if err != nil {
		privtest.Unable(t, "make a BPF map", err)
	}
	defer a.Close()
	before := map[netip.Addr]Kind{vip4: VIP}
	if err := a.Set(before); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		set  map[netip.Addr]Kind
		want string
	}{
		{"too many", map[netip.Addr]Kind{vip4: VIP, vip6: VIP, snip4: SNIP}, "3 VIPs and SNIPs, but room for 2"},
		{"no kind", map[netip.Addr]Kind{vip6: 0}, "unknown kind 0"},
		{"bad kind", map[netip.Addr]Kind{vip6: 3}, "unknown kind 3"},
		{"no address", map[netip.Addr]Kind{{}: VIP}, "no address"},
		{"zone", map[netip.Addr]Kind{netip.MustParseAddr("fe80::1%eth0"): VIP}, "no address"},
	} {
		if err := a.Set(c.set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.name, err, c.want)
		}
		if got := kernelSet(t, a); !maps.Equal(got, before) {
			t.Errorf("%s: the kernel has %v, want what it had: %v", c.name, got, before)
		}
	}
}

// TestSetKeepsWhatStays redirects frames to an address that stays while others
// come and go: none may pass.
func TestSetKeepsWhatStays(t *testing.T) {
	p, a := newProgram(t)
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, set := range []map[netip.Addr]Kind{
				{vip4: VIP, vip6: VIP}, {vip4: VIP, snip4: SNIP, snip6: SNIP}, {vip4: SNIP}, {vip4: VIP},
			} {
				if err := a.Set(set); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	f := v4(t, vip4, layers.IPProtocolTCP, tcp)
	for range 3000 {
		// The queue has no socket: redirected means dropped here.
		if action, _, err := p.objects.Redirect.Test(f); err != nil || action != xdpDrop {
			t.Errorf("XDP action %d, %v", action, err)
			break
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

package xdp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"appliance/internal/privtest"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// newDenied returns an empty set with room for n, or ends the test.
func newDenied(t *testing.T, n int) *Denied {
	t.Helper()
	d, err := NewDenied(n)
	if err != nil {
		privtest.Unable(t, "make an LPM trie", err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// kernelDenied reads the kernel's trie back, in order.
func kernelDenied(t interface{ Fatal(...any) }, d *Denied) []netip.Prefix {
	var got []netip.Prefix
	var key redirectPrefix
	var value uint8
	entries := d.kernel.Iterate()
	for entries.Next(&key, &value) {
		a, bits := netip.AddrFrom16(key.Address.Bytes), int(key.Length)
		if a.Is4In6() {
			a, bits = a.Unmap(), bits-mappedBits
		}
		got = append(got, netip.PrefixFrom(a, bits))
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, netip.Prefix.Compare)
	return got
}

// The sources of frames here are other4, 203.0.113.1, and other6, 2001:db8:2::1.
func TestDenied(t *testing.T) {
	p, _, d := newFilter(t)
	if err := p.Register(0, newSocket(t)); err != nil {
		t.Fatal(err)
	}
	vipTCP4, vipTCP6 := v4(t, vip4, layers.IPProtocolTCP, tcp), v6(t, vip6, layers.IPProtocolTCP, tcp)
	for _, c := range []struct {
		name   string
		denied []netip.Prefix
		v4, v6 bool // whether frames to VIPs are denied
	}{
		{"nobody", nil, false, false},
		{"an address", prefixes("203.0.113.1/32"), true, false},
		{"its neighbour", prefixes("203.0.113.0/32"), false, false},
		{"a network", prefixes("203.0.112.0/23"), true, false},
		{"another network", prefixes("203.0.114.0/23"), false, false},
		{"the smaller network of two", prefixes("203.0.113.0/24", "198.51.100.0/24"), true, false},
		{"all of IPv4", prefixes("0.0.0.0/0"), true, false},
		{"an IPv6 address", prefixes("2001:db8:2::1/128"), false, true},
		{"an IPv6 network", prefixes("2001:db8:2::/48"), false, true},
		{"another IPv6 network", prefixes("2001:db8:3::/48"), false, false},
		{"all of IPv6", prefixes("2000::/3"), false, true},
		{"both", prefixes("203.0.113.0/24", "2001:db8::/32"), true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := d.Set(c.denied); err != nil {
				t.Fatal(err)
			}
			for _, f := range []struct {
				frame  []byte
				denied bool
			}{
				{vipTCP4, c.v4}, {tagged(vipTCP4, 1), c.v4}, {fragment(vipTCP4, false, 100), c.v4},
				{v4(t, vip4, layers.IPProtocolICMPv4, icmp(8)), c.v4},
				{vipTCP6, c.v6}, {v6(t, vip6, layers.IPProtocolUDP, udp), c.v6},
			} {
				if f.denied {
					expect(t, p, f.frame, xdpDrop, DroppedDenied)
				} else {
					expect(t, p, f.frame, xdpRedirect, RedirectedVIP)
				}
			}
			// Whoever sends to a SNIP is a backend, and the rest is the host's.
			expect(t, p, v4(t, snip4, layers.IPProtocolTCP, tcp), xdpRedirect, RedirectedSNIP)
			expect(t, p, v6(t, snip6, layers.IPProtocolTCP, tcp), xdpRedirect, RedirectedSNIP)
			expect(t, p, v4(t, other4, layers.IPProtocolTCP, tcp), xdpPass, PassedForeign)
			expect(t, p, v6(t, other6, layers.IPProtocolTCP, tcp), xdpPass, PassedForeign)
		})
	}
}

// The trie says of a random source what a search through all prefixes says.
func TestDeniedIsLongestPrefixMatch(outer *testing.T) {
	p, _, d := newFilter(outer)
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		n := 0xcb007100 | rapid.Uint32Range(0, 7).Draw(t, "address")
		a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
		return netip.PrefixFrom(a, rapid.IntRange(24, 32).Draw(t, "bits")).Masked()
	})
	rapid.Check(outer, func(t *rapid.T) {
		set := rapid.SliceOfN(prefix, 0, 8).Draw(t, "set")
		if err := d.Set(set); err != nil {
			t.Fatal(err)
		}
		source := 0xcb007100 | rapid.Uint32Range(0, 15).Draw(t, "source")
		f := v4(outer, vip4, layers.IPProtocolTCP, tcp)
		binary.BigEndian.PutUint32(f[26:], source)
		from := netip.AddrFrom4([4]byte(f[26:30]))
		want := slices.ContainsFunc(set, func(p netip.Prefix) bool { return p.Contains(from) })
		before, err := p.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.objects.Redirect.Test(f); err != nil {
			t.Fatal(err)
		}
		after, err := p.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if got := after[DroppedDenied] > before[DroppedDenied]; got != want {
			t.Fatalf("%v with %v denied: %v, want %v", from, set, got, want)
		}
	})
}

func TestDeniedSetIsTheWholeSet(t *testing.T) {
	d := newDenied(t, 32)
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := netip.AddrFrom4([4]byte{198, 51, 100, rapid.Byte().Draw(t, "IPv4")})
		bits := rapid.IntRange(0, 32).Draw(t, "bits")
		if rapid.Bool().Draw(t, "IPv6") {
			b := netip.MustParseAddr("2001:db8::").As16()
			b[15] = rapid.Byte().Draw(t, "IPv6 address")
			a, bits = netip.AddrFrom16(b), 4*(bits+1-bits/32)
		}
		return netip.PrefixFrom(a, bits).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		for range 4 {
			want := rapid.SliceOfN(prefix, 0, 32).Filter(func(all []netip.Prefix) bool {
				return !slices.ContainsFunc(all, func(p netip.Prefix) bool { return CheckDenied(p) != nil })
			}).Draw(t, "set")
			if err := d.Set(want); err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(want, netip.Prefix.Compare)
			want = slices.Compact(want)
			if got := kernelDenied(t, d); !slices.Equal(got, want) {
				t.Fatalf("the kernel has %v, want %v", got, want)
			}
			if got := d.All(); !slices.Equal(got, want) {
				t.Fatalf("All() = %v, want %v", got, want)
			}
		}
	})
}

func TestDeniedRefuses(t *testing.T) {
	d := newDenied(t, 2)
	before := prefixes("198.51.100.0/24")
	if err := d.Set(before); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		set  []netip.Prefix
		want string
	}{
		{"too many", prefixes("10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"), "3 prefixes, but room for 2"},
		{"none", make([]netip.Prefix, 1), "no prefix"},
		{"host bits", prefixes("198.51.100.7/24"), "give 198.51.100.0/24, or 198.51.100.7/32"},
		{"host bits of IPv6", prefixes("2001:db8::1/64"), "give 2001:db8::/64, or 2001:db8::1/128"},
		{"mapped", []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.0"), 104)}, "IPv4 addresses"},
		{"all of both families", prefixes("::/0"), "2000::/3"},
		{"all of IPv4 in IPv6", prefixes("::/80"), "2000::/3"},
	} {
		if err := d.Set(c.set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.name, err, c.want)
		}
		if got := kernelDenied(t, d); !slices.Equal(got, before) {
			t.Errorf("%s: the kernel has %v, want what it had: %v", c.name, got, before)
		}
	}
	// A full set is exchanged for another as a whole.
	for _, set := range [][]netip.Prefix{prefixes("10.0.0.0/8", "11.0.0.0/8"), prefixes("12.0.0.0/8", "13.0.0.0/8")} {
		if err := d.Set(set); err != nil {
			t.Error(err)
		}
	}
}

// A source that stays denied passes at no moment, whichever prefix denies it.
func TestDeniedNeverAbsent(t *testing.T) {
	p, _, d := newFilter(t)
	if err := p.Register(0, newSocket(t)); err != nil {
		t.Fatal(err)
	}
	sets := [][]netip.Prefix{
		prefixes("203.0.113.0/24", "10.0.0.0/8"), prefixes("203.0.113.1/32"), prefixes("203.0.112.0/20"), prefixes("203.0.113.0/24"),
	}
	if err := d.Set(sets[0]); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := d.Set(sets[i%len(sets)]); err != nil {
				done <- err
				return
			}
		}
	}()
	f := v4(t, vip4, layers.IPProtocolTCP, tcp)
	for range 3000 {
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

package fib

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The generators draw from few values, so that prefixes nest, addresses repeat
// and neighbours fall into connected prefixes.

func genAddr(v6 bool) *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		last := rapid.Uint8Range(0, 7).Draw(t, "last")
		if v6 {
			first := rapid.SampledFrom([]string{"2001:db8::", "2001:db8:0:1::", "fe80::", "::", "ff02::"}).Draw(t, "first")
			a := netip.MustParseAddr(first).As16()
			a[15] = last
			return netip.AddrFrom16(a)
		}
		first := rapid.SampledFrom([]string{"10.0.0.0", "10.0.1.0", "192.0.2.0", "127.0.0.0", "224.0.0.0", "0.0.0.0", "255.255.255.248"}).Draw(t, "first")
		a := netip.MustParseAddr(first).As4()
		a[3] |= last
		return netip.AddrFrom4(a)
	})
}

func anyAddr(t *rapid.T, label string) netip.Addr {
	return genAddr(rapid.Bool().Draw(t, label+" v6")).Draw(t, label)
}

func drawHop(t *rapid.T) Hop {
	h := Hop{
		Link:   rapid.IntRange(1, 5).Draw(t, "hop link"), // 4 and 5 are foreign
		Weight: rapid.IntRange(0, 3).Draw(t, "weight"),
		MTU:    rapid.SampledFrom([]int{0, 1280, 9000}).Draw(t, "hop mtu"),
	}
	if rapid.Bool().Draw(t, "gateway") {
		h.Via = anyAddr(t, "via")
	}
	return h
}

func drawRoute(t *rapid.T) Route {
	a := anyAddr(t, "prefix")
	r := Route{
		Prefix: netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")),
		Metric: rapid.Uint32Range(0, 2).Draw(t, "metric"),
	}
	if rapid.IntRange(0, 3).Draw(t, "special") == 0 {
		r.Kind = Kind(rapid.Uint8Range(uint8(Local), uint8(Unsupported)).Draw(t, "kind"))
		return r
	}
	for range rapid.IntRange(0, 3).Draw(t, "hops") {
		r.Hops = append(r.Hops, drawHop(t))
	}
	return r
}

func drawInput(t *rapid.T) Input {
	var in Input
	for index := 1; index <= 3; index++ {
		in.Links = append(in.Links, Link{
			Index: index, Interface: uint8(index - 1), VLAN: uint16(index * 10 % 30),
			MAC: [6]byte{2, 0, 0, 0, 0, byte(index)}, MTU: 1400 + 100*index,
			Up: rapid.IntRange(0, 3).Draw(t, "up") > 0,
		})
	}
	for range rapid.IntRange(0, 12).Draw(t, "routes") {
		in.Routes = append(in.Routes, drawRoute(t))
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "neighbours") {
		in.Neighbours = append(in.Neighbours, Neighbour{
			Addr: anyAddr(t, "neighbour"), Link: rapid.IntRange(1, 4).Draw(t, "neighbour link"),
			MAC: [6]byte{2, 1, 0, 0, 0, byte(i)},
		})
	}
	return in
}

// TestLookupMatchesSlow holds Lookup and Explain against the linear twin.
func TestLookupMatchesSlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		table, err := Compile(in)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			dst := anyAddr(t, "dst")
			want, reason := slowLookup(in, dst)
			if got := table.Explain(dst); got.Reason != reason {
				t.Fatalf("Explain(%s) = %v, want reason %q", dst, got, reason)
			}
			hop, result := table.Lookup(dst, rapid.Uint32().Draw(t, "hash"))
			checkLookup(t, dst, hop, result, want)
		}
	})
}

func checkLookup(t *rapid.T, dst netip.Addr, hop *NextHop, result Result, want []NextHop) {
	if len(want) == 0 {
		if hop != nil || result != NoRoute {
			t.Fatalf("Lookup(%s) = %+v, %d, want no route", dst, hop, result)
		}
		return
	}
	if hop == nil {
		t.Fatalf("Lookup(%s) has no route, want one of %+v", dst, want)
	}
	got := *hop
	if !slices.Contains(want, got) && !got.Resolved && got.Addr == dst {
		got.Addr = netip.Addr{} // a host entry, by a neighbour on another link that is down
	}
	if !slices.Contains(want, got) {
		t.Fatalf("Lookup(%s) = %+v, want one of %+v", dst, got, want)
	}
	if (result == Found) != got.Resolved || result == NoRoute {
		t.Fatalf("Lookup(%s) = %d with Resolved %v", dst, result, got.Resolved)
	}
}

// TestOrderDoesNotMatter: but for ties, a Table is a function of the sets.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		for i := range in.Routes {
			in.Routes[i].Metric = uint32(i)
		}
		shuffled := Input{
			Links:      rapid.Permutation(in.Links).Draw(t, "links"),
			Routes:     rapid.Permutation(in.Routes).Draw(t, "routes"),
			Neighbours: in.Neighbours,
		}
		a, errA := Compile(in)
		b, errB := Compile(shuffled)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		dst := anyAddr(t, "dst")
		hash := rapid.Uint32().Draw(t, "hash")
		hopA, resultA := a.Lookup(dst, hash)
		hopB, resultB := b.Lookup(dst, hash)
		if resultA != resultB || (hopA == nil) != (hopB == nil) || hopA != nil && *hopA != *hopB {
			t.Fatalf("Lookup(%s): %+v %d, shuffled %+v %d", dst, hopA, resultA, hopB, resultB)
		}
	})
}

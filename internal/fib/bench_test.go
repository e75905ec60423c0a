package fib

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// bigNode is the test node with n more routes of mixed length behind gateways
// and n neighbours in a connected /8.
func bigNode(n int) (Input, []netip.Addr) {
	in := node()
	rng := rand.New(rand.NewPCG(1, 2))
	in.Routes = append(in.Routes, Route{Prefix: prefix("20.0.0.0/8"), Hops: []Hop{{Link: 2}}},
		via("0.0.0.0/0", "10.0.0.1", 1, 0), via("::/0", "fe80::1", 1, 0))
	dsts := make([]netip.Addr, 0, n)
	for range n {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], rng.Uint32())
		a[0] = 30 + a[0]%100
		dst := netip.AddrFrom4(a)
		r := via("0.0.0.0/0", "10.0.1.5", 2, 0)
		r.Prefix = netip.PrefixFrom(dst, 16+rng.IntN(9))
		in.Routes = append(in.Routes, r)
		a[0] = 20
		in.Neighbours = append(in.Neighbours, Neighbour{netip.AddrFrom4(a), 2, mac(9)})
		dsts = append(dsts, dst, netip.AddrFrom4(a))
	}
	return in, dsts
}

var sinkHop *NextHop

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		in, dsts := bigNode(n)
		table := compile(b, in)
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				sinkHop, _ = table.Lookup(dsts[i], uint32(i))
				if i++; i == len(dsts) {
					i = 0
				}
			}
		})
	}
	multi := compile(b, threeWays([3]int{1, 1, 1}, [3]bool{true, true, true}))
	b.Run("multipath=3", func(b *testing.B) {
		dst, hash := addr("198.51.100.1"), uint32(0)
		for b.Loop() {
			hash++
			sinkHop, _ = multi.Lookup(dst, hash)
		}
	})
	b.Run("ipv6", func(b *testing.B) {
		dst := addr("2001:db8::1")
		for b.Loop() {
			sinkHop, _ = multi.Lookup(dst, 0)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		in, _ := bigNode(n)
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			for b.Loop() {
				compile(b, in)
			}
		})
	}
}

// TestLookupDoesNotAllocate: engines call Lookup for each packet.
func TestLookupDoesNotAllocate(t *testing.T) {
	table := compile(t, threeWays([3]int{1, 2, 3}, [3]bool{true, true, true}))
	for _, s := range []string{"198.51.100.1", "10.0.0.77", "::ffff:198.51.100.1", "2001:db8::7", "2001:db9::", "127.0.0.1"} {
		dst := addr(s)
		if n := testing.AllocsPerRun(100, func() { sinkHop, _ = table.Lookup(dst, 7) }); n != 0 {
			t.Errorf("Lookup(%s) allocates %v times", s, n)
		}
	}
}

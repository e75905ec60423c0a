package fib

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// threeWays is a default route over gateways .1, .2 and .3 of link 1.
func threeWays(weights [3]int, resolved [3]bool) Input {
	in := node()
	in.Neighbours = nil
	r := Route{Prefix: prefix("0.0.0.0/0")}
	for i, gateway := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		r.Hops = append(r.Hops, Hop{Link: 1, Via: addr(gateway), Weight: weights[i]})
		if resolved[i] {
			in.Neighbours = append(in.Neighbours, Neighbour{addr(gateway), 1, mac(byte(i + 1))})
		}
	}
	in.Routes = append(in.Routes, r)
	return in
}

// TestMultipathWeights draws hashes as one engine of one node sees them, low
// twelve bits all alike, and holds the shares against the weights by a χ² test
// with two degrees of freedom (limit at p = 0.0001).
func TestMultipathWeights(t *testing.T) {
	weights := [3]int{1, 2, 5}
	table := compile(t, threeWays(weights, [3]bool{true, true, true}))
	const flows, limit = 1 << 16, 18.4
	for _, low := range []uint32{0, 0x7ff, 0xabc} {
		var got [3]float64
		for i := range uint32(flows) {
			hop, result := table.Lookup(addr("198.51.100.1"), i<<12|low)
			if result != Found {
				t.Fatalf("result %d, want Found", result)
			}
			got[hop.Dst[5]-1]++
		}
		chi := 0.0
		for i, w := range weights {
			want := flows * float64(w) / 8
			chi += math.Pow(got[i]-want, 2) / want
		}
		if chi > limit {
			t.Errorf("low bits %#x: flows %v for weights %v, χ² = %.1f", low, got, weights, chi)
		}
	}
}

// TestMultipathDeadGateway: unresolved gateways get traffic only when no other
// is left, and then all do, so that each is asked for.
func TestMultipathDeadGateway(t *testing.T) {
	cases := []struct {
		name     string
		resolved [3]bool
		result   Result
		ways     int
	}{
		{"all resolved", [3]bool{true, true, true}, Found, 3},
		{"first dead", [3]bool{false, true, true}, Found, 2},
		{"middle dead", [3]bool{true, false, true}, Found, 2},
		{"last alone", [3]bool{false, false, true}, Found, 1},
		{"none resolved", [3]bool{}, NoNeighbour, 3},
	}
	for _, c := range cases {
		table := compile(t, threeWays([3]int{1, 1, 1}, c.resolved))
		ways := map[NextHop]bool{}
		for hash := range uint32(1000) {
			hop, result := table.Lookup(addr("198.51.100.1"), hash)
			if result != c.result {
				t.Fatalf("%s: result %d, want %d", c.name, result, c.result)
			}
			ways[*hop] = true
		}
		if len(ways) != c.ways {
			t.Errorf("%s: traffic uses %d next hops, want %d", c.name, len(ways), c.ways)
		}
		if all := table.Explain(addr("198.51.100.1")).Hops; len(all) != 3 {
			t.Errorf("%s: Explain knows %d next hops, want all 3", c.name, len(all))
		}
	}
}

// TestBounds: the shares of an entry cover the hash space, whatever the weights.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var hops []weightedHop
		for range rapid.IntRange(1, 20).Draw(t, "hops") {
			hops = append(hops, weightedHop{weight: rapid.Uint64Range(1, math.MaxUint16).Draw(t, "weight")})
		}
		var e entry
		e.share(hops)
		if last := e.bounds[len(e.bounds)-1]; last != math.MaxUint32 {
			t.Fatalf("the last bound is %#x", last)
		}
		for i := 1; i < len(e.bounds); i++ {
			if e.bounds[i] <= e.bounds[i-1] {
				t.Fatalf("bounds %v don't ascend", e.bounds)
			}
		}
	})
}

// TestMixIsABijection on the part that can be searched: no two of these hashes
// collide, which a lossy mix would show at once.
func TestMixIsABijection(t *testing.T) {
	seen := make(map[uint32]uint32, 1<<16)
	for i := range uint32(1 << 16) {
		h := i << 16
		if was, twice := seen[mix(h)]; twice {
			t.Fatalf("mix(%#x) = mix(%#x)", h, was)
		}
		seen[mix(h)] = h
	}
}

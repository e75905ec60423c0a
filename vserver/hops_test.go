package vserver

import (
	"net/netip"
	"testing"

	"appliance/internal/fib"
	"appliance/vserver/flows"
)

// However many next hops there are, and whatever a note holds, the cache must
// answer as the routing table does.
func TestHopCacheAgainstRoutes(t *testing.T) {
	in := testNetwork()
	var clients []netip.Addr
	for i := range 4 * hopSlots { // all on the link, each with a MAC of its own
		a := netip.AddrFrom4([4]byte{203, 0, 120 + byte(i>>8), byte(i)})
		clients = append(clients, a)
		in.Neighbours = append(in.Neighbours, fib.Neighbour{Addr: a, Link: 1, MAC: [6]byte{2, 7, 0, 0, byte(i >> 8), byte(i)}})
	}
	in.Routes = append(in.Routes, fib.Route{Prefix: netip.MustParsePrefix("203.0.0.0/16"), Hops: []fib.Hop{{Link: 1}}})
	clients = append(clients, addrs("192.0.2.1", "2001:db8:c::1", "192.0.77.1", "203.0.113.200")...)

	var c hopCache
	records := make([]flows.Record, len(clients))
	for i := range records {
		records[i].Note = uint64(i) * 0x0100_0001_0001_0203 // senders, and worse
	}
	for round := range 3 {
		routes := compile(t, in)
		c.adopt(routes)
		for range 2 {
			for i, a := range clients {
				want, result := routes.Lookup(a, 0)
				got, found := c.noted(&records[i]), fib.Found
				if got == nil {
					got, found = c.lookup(&records[i], a)
				}
				if got != want || found != result {
					t.Fatalf("round %d, %v: %v %v, want %v %v", round, a, got, found, want, result)
				}
			}
		}
		noted := 0
		for i := range records {
			if records[i].Note>>16 == hopNote>>16|uint64(c.epoch) {
				noted++
			}
		}
		if noted < hopSlots/2 {
			t.Errorf("%d records know their next hop", noted)
		}
		in.Neighbours = in.Neighbours[:len(in.Neighbours)-hopSlots]
	}
}

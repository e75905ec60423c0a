package engine

import (
	"fmt"
	"testing"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// errorAbout returns an ICMP error that a router sends to vip about a packet of
// vip to client.
func errorAbout(vip, client string, v6 bool) []byte {
	quote := pt.UDP(vip, client, pt.PayloadSize(8))[14:]
	if v6 {
		return pt.ICMPError(2, 0, 1400, "2001:db8:f::1", "2001:db8:1::10", quote)
	}
	return pt.ICMPError(3, 4, 1400, "203.0.113.1", "198.51.100.10", quote)
}

// An ICMP error reaches the engine that decides about the packets of the flow
// that travel as it does, whichever engine received it.
func TestICMPErrorsReachTheOwner(t *testing.T) {
	g, ports := newTestGroup(t, 3, 1024, newEcho)
	owners := map[uint32]bool{}
	for i := range 60 {
		v6 := i%2 == 1
		client, vip := fmt.Sprintf("192.0.2.7:%d", 1000+i), "198.51.100.10:80"
		if v6 {
			client, vip = fmt.Sprintf("[2001:db8:c::7]:%d", 1000+i), "[2001:db8:1::10]:80"
		}
		var hashes []uint32
		for _, f := range [][]byte{pt.UDP(client, vip), errorAbout(vip, client, v6)} {
			var p Packet
			if why := packet.Parse(f, &p.Info); why != packet.OK {
				t.Fatal(why)
			}
			hashes = append(hashes, hash(g.Snapshot().Hasher, f, &p))
		}
		if hashes[0] != hashes[1] {
			t.Fatalf("flow of %s: packets have hash %#x, errors %#x", client, hashes[0], hashes[1])
		}
		owner := g.Snapshot().Cores.Engine(hashes[0])
		owners[uint32(owner)] = true
		before := g.engines[owner].counters.Owned
		for receiver := range ports {
			ports[receiver][0].inject(errorAbout(vip, client, v6))
		}
		for range 2 { // whoever is asked first may be handed something by the others
			for _, e := range g.engines {
				for e.pass() {
				}
			}
		}
		if got := g.engines[owner].counters.Owned - before; got != uint64(len(ports)) {
			t.Fatalf("flow of %s: its engine decided %d of %d errors", client, got, len(ports))
		}
	}
	if len(owners) != len(ports) {
		t.Errorf("flows of %d engines only: nothing tested", len(owners))
	}
}

// The checksum of an ICMP error about a flow is verified in any case, that of
// other messages when the Snapshot asks for it.
func TestICMPErrorsAreVerified(t *testing.T) {
	damaged := func(frame []byte) []byte {
		frame[len(frame)-1] ^= 1
		return frame
	}
	for _, c := range []struct {
		name   string
		frame  []byte
		verify bool
		drops  uint64
	}{
		{"error", errorAbout("198.51.100.10:80", "192.0.2.7:1", false), false, 0},
		{"damaged error", damaged(errorAbout("198.51.100.10:80", "192.0.2.7:1", false)), false, 1},
		{"damaged error, IPv6", damaged(errorAbout("[2001:db8:1::10]:80", "[2001:db8:c::7]:1", true)), false, 1},
		{"damaged ping", damaged(pt.Echo("192.0.2.7", "198.51.100.10", pt.PayloadSize(8))), false, 0},
		{"damaged ping, all verified", damaged(pt.Echo("192.0.2.7", "198.51.100.10", pt.PayloadSize(8))), true, 1},
	} {
		g, ports := newTestGroup(t, 1, 256, newEcho)
		s := *g.Snapshot()
		s.VerifyL4 = c.verify
		g.Publish(&s)
		ports[0][0].inject(c.frame)
		for g.engines[0].pass() {
		}
		if got := dropped(&g.engines[0].counters, packet.BadL4Checksum); got != c.drops {
			t.Errorf("%s: %d dropped, want %d", c.name, got, c.drops)
		}
	}
}

package vserver

import (
	"fmt"
	"net/netip"
	"testing"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
	"appliance/rss"
)

// Engines share SNIPs and talk about nothing, but no two of them take the same
// port toward the same backend, and the backend's packets come to the engine
// that has the flow.
func TestEnginesShareSNIPsWithoutCollisions(t *testing.T) {
	const engines = 3
	cores, err := rss.NewCoreTable(engines)
	if err != nil {
		t.Fatal(err)
	}
	for _, buckets := range []int{rss.MinBuckets, 4096} {
		cfg := testConfig(NAT, Maglev, 1)
		cfg.SNIPs, cfg.Buckets = addrs("10.1.0.254", "fd00:1::254"), buckets
		var nodes [engines]*testNode
		for i := range nodes {
			nodes[i] = newSizedNode(t, cfg, 1<<15, 64)
			nodes[i].handler.cfg.Engine, nodes[i].handler.cfg.Engines = i, engines
		}
		held := map[string]int{} // SNIP, port and protocol -> engine
		var served [engines]int
		for i := range 30_000 {
			p := paths[i%len(paths)].from(i / len(paths))
			frame := p.open()
			e := cores.Engine(nodes[0].place(0, clientSide, frame).Hash)
			out := nodes[e].one(clientSide, frame)
			if out.Verdict == engine.Drop {
				t.Fatalf("flow %d: %v", i, out.Reason)
			}
			snip, backend := ends(t, out.frame)
			tuple := fmt.Sprint(p.name, snip)
			if other, taken := held[tuple]; taken {
				t.Fatalf("%s: engines %d and %d both use it", tuple, other, e)
			}
			held[tuple] = int(e)
			served[e]++
			answer := p.build(backend.String(), snip.String(), pt.Flags("SA"), pt.SeqAck(100, 1))
			if back := cores.Engine(nodes[0].place(0, serverSide, answer).Hash); back != e {
				t.Fatalf("%s: packets go through engine %d, answers through %d", tuple, e, back)
			}
		}
		for e, n := range served {
			if n < 30_000/engines/2 {
				t.Errorf("engine %d has %d flows of 30,000: nothing tested", e, n)
			}
		}
	}
}

// A full table turns new flows away and leaves established ones as they are.
func TestFullTableKeepsEstablishedFlows(t *testing.T) {
	const capacity = 32
	n := newSizedNode(t, testConfig(NAT, Maglev, 4), capacity, 64)
	var tcp []*conn
	for i := range capacity {
		tcp = append(tcp, n.dial(paths[i%2*2], i))
	}
	for i := range 2000 {
		p := paths[i%len(paths)]
		at := netip.MustParseAddrPort(p.client)
		p.client = netip.AddrPortFrom(at.Addr(), uint16(1+i)).String()
		n.one(clientSide, p.open()).dropped(t, packet.FlowTableFull)
	}
	for _, c := range tcp {
		c.intact()
	}
	if got := n.handler.Counters().Flows; got.Flows != capacity || got.Evicted != 0 {
		t.Errorf("table: %+v", got)
	}
}

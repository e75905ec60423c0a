package vserver

import (
	"testing"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// Frames that a switch has flooded, or sent to all, are nobody's to forward: one
// that came back would go round for ever in dsr, where no TTL ends it.
func TestOtherStations(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		n := newNode(t, testConfig(mode, Maglev, 3))
		for _, p := range paths {
			for name, mac := range map[string][6]byte{
				"another host":        backendMAC(1),
				"the other interface": nodeMAC1,
				"all":                 {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
				"a group":             {0x01, 0x00, 0x5e, 0, 0, 1},
			} {
				o := n.one(clientSide, p.open(pt.MACs(routerMAC, mac)))
				if o.Verdict != engine.Drop || o.Reason != packet.OtherStation {
					t.Errorf("%v %s to %s: verdict %d, %v", mode, p.name, name, o.Verdict, o.Reason)
				}
			}
			n.one(clientSide, pt.Echo("192.0.2.7", "198.51.100.10", pt.MACs(routerMAC, nodeMAC1))).dropped(t, packet.OtherStation)

			// What was sent to a backend and comes back is not taken again.
			f := n.one(clientSide, p.open()).sent(t, serverSide).frame
			n.one(serverSide, f).dropped(t, packet.OtherStation)
			n.one(clientSide, f).dropped(t, packet.OtherStation)
		}
	}
}

// A VLAN without an interface is not the node's.
func TestUnknownVLANs(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	n.one(clientSide, paths[0].open(pt.VLAN(666))).dropped(t, packet.UnknownVLAN)
	n.one(clientSide, paths[0].open(pt.VLAN(20))).dropped(t, packet.UnknownVLAN) // the servers'
	n.one(clientSide, pt.Echo("192.0.2.7", "198.51.100.10", pt.VLAN(666))).dropped(t, packet.UnknownVLAN)
	n.one(clientSide, paths[0].open(pt.VLAN(10))).sent(t, serverSide)
	n.one(clientSide, paths[0].open(pt.VLAN(0), pt.Priority(5), pt.Flags("A"))).sent(t, serverSide) // a priority tag
}

// Whoever is not behind a server interface can't speak for a backend.
func TestWrongPlane(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 2)
	cfg.ServerPlane = 1 << serverSide
	n := newNode(t, cfg)
	for i, p := range paths {
		c := n.dial(p, i)
		n.one(clientSide, c.answer(pt.Flags("R"), pt.SeqAck(1<<30, 0))).dropped(t, packet.WrongPlane)
		n.one(serverSide, c.answer(pt.Flags("A"), pt.SeqAck(101, 1))).sent(t, clientSide)
	}

	// Nor do packets leave there for a backend, as they would by a default route.
	cfg.Services[0].Backends[0].Address = addrs("203.0.113.1")[0]
	cfg.Services[0].Backends = cfg.Services[0].Backends[:1]
	n.load(cfg)
	n.one(clientSide, paths[0].from(99).open()).dropped(t, packet.NoRoute)
}

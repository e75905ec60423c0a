package vserver

import (
	"testing"

	"appliance/engine/packet"
)

// A backend to which no route leads gets no new flows while others can.
func TestUnroutableBackendsGetNothingNew(t *testing.T) {
	for _, method := range []Method{Maglev, RoundRobin} {
		cfg := testConfig(NAT, method, 3)
		cfg.Services[0].Backends[1].Address = addrs("172.16.0.1")[0]
		n := newNode(t, cfg)
		for i := range 100 {
			n.one(clientSide, paths[0].from(i).open()).sent(t, serverSide)
		}
		cfg.Services[0].Backends = cfg.Services[0].Backends[1:2] // none can: say why, and refuse nobody
		n.load(cfg)
		n.one(clientSide, paths[0].from(200).open()).dropped(t, packet.NoRoute)
	}
}

package xsk

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"appliance/engine/porttest"
	"appliance/internal/privtest"
)

// TestContract runs two sockets at the ends of a veth pair through the tests
// that every port must pass.
func TestContract(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			porttest.Run(t, func(t *testing.T) (a, b porttest.Side) { return contractPair(t, mode) })
		})
	}
}

func contractPair(t *testing.T, mode link.XDPAttachFlags) (a, b porttest.Side) {
	privtest.NetNS(t)
	left, right := privtest.Veth(t, "left", "right", 1)
	side := func(l netlink.Link, sockets *ebpf.Map) porttest.Side {
		arena := newArena(t, 512)
		s, err := Open(arena, Config{Interface: l.Attrs().Name, RxRing: 128, TxRing: 64})
		if err != nil {
			t.Fatal(err)
		}
		if err := sockets.Put(uint32(0), uint32(s.FD())); err != nil {
			t.Fatal(err)
		}
		return porttest.Side{Arena: arena, Port: s}
	}
	return side(left, privtest.RedirectAll(t, left, 1, mode)), side(right, privtest.RedirectAll(t, right, 1, mode))
}

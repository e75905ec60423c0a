package lab_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	pt "appliance/engine/packet/packettest"
	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// TestTunnels sends packets in packets to a backend, as a node in ipip and gue
// would, and gets the answers from the VIP, past everybody.
func TestTunnels(t *testing.T) {
	l := build(t, lab.Config{IPv6: true, Tunnels: true})
	c, b := l.Clients[0], l.Backends[1]
	for _, inner := range []struct {
		from, vip netip.Addr
		proto     byte
	}{{c.Addr.V4, l.VIPs[0].V4, 4}, {c.Addr.V6, l.VIPs[0].V6, 41}} {
		for _, outer := range []struct {
			network string
			to      netip.Addr
			gue     bool
		}{
			{"ip4", b.Addr.V4, false}, {"ip6", b.Addr.V6, false}, {"udp4", b.Addr.V4, true}, {"udp6", b.Addr.V6, true},
		} {
			answers, err := c.ListenPacket("udp", netip.AddrPortFrom(inner.from, 40000).String())
			if err != nil {
				t.Fatal(err)
			}
			question := pt.UDP(netip.AddrPortFrom(inner.from, 40000).String(),
				netip.AddrPortFrom(inner.vip, origin.EchoPort).String(), pt.Payload([]byte("hello")))[14:]
			network, to := outer.network, net.Addr(&net.UDPAddr{IP: outer.to.AsSlice(), Port: 6080})
			if outer.gue {
				question = slices.Concat([]byte{0, inner.proto, 0, 0}, question)
			} else {
				network += map[byte]string{4: ":4", 41: ":41"}[inner.proto]
				to = &net.IPAddr{IP: outer.to.AsSlice()}
			}
			conn, err := c.ListenPacket(network, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.WriteTo(question, to); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			answers.SetDeadline(time.Now().Add(5 * time.Second))
			n, from, err := answers.ReadFrom(buf)
			if want := netip.AddrPortFrom(inner.vip, origin.EchoPort).String(); err != nil || string(buf[:n]) != "b2 hello" || from.String() != want {
				t.Errorf("protocol %d in %s: %q from %v, %v, want an answer from the VIP", inner.proto, network, buf[:n], from, err)
			}
			conn.Close()
			answers.Close()
		}
	}
}

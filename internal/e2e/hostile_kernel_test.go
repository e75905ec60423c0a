package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	pt "appliance/engine/packet/packettest"
	"appliance/internal/lab"
)

// What is the kernel's stays the kernel's: it answers for the node's own
// addresses and for SNIPs, and never for a VIP.
func TestKernelAnswersForItsOwn(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	v := newTarget(t, l, lab.NodeOptions{Engine: small})
	node, router, router6 := l.Nodes[0], netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd00:a:1::1")
	host, host6 := netip.MustParseAddr("10.2.9.9"), netip.MustParseAddr("fd00:b::9:9") // of nobody
	for _, c := range []struct {
		name, plane string
		from        netip.Addr
		vip         netip.Addr // asked for first, and not answered for
		own         netip.Addr // answered for
	}{
		{"ARP, client plane", lab.ClientPlane, router, l.VIPs[0].V4, node.ClientAddr.V4},
		{"ARP, server plane", lab.ServerPlane, host, l.VIPs[0].V4, node.ServerAddr.V4},
		{"ARP, SNIP", lab.ServerPlane, host, l.VIPs[0].V4, node.SNIP.V4},
		{"ND, client plane", lab.ClientPlane, router6, l.VIPs[0].V6, node.ClientAddr.V6},
		{"ND, server plane", lab.ServerPlane, host6, l.VIPs[0].V6, node.ServerAddr.V6},
		{"ND, SNIP", lab.ServerPlane, host6, l.VIPs[0].V6, node.SNIP.V6},
	} {
		t.Run(c.name, func(t *testing.T) {
			beside := map[string]*lab.Namespace{lab.ClientPlane: l.Router, lab.ServerPlane: l.Fabric}[c.plane]
			i := inject(t, beside, node.Host(), net.HardwareAddr(v.planes[c.plane].dst[:]).String())
			i.send(t, cut(i.question(t, c.from, c.own), 30), i.question(t, c.from, c.vip), i.question(t, c.from, c.own))
			i.receive(t, func(frame []byte) bool {
				about, ok := answeredFor(frame)
				if ok && about == c.vip {
					t.Error("the kernel answers for the VIP")
				}
				return ok && about == c.own
			})
		})
	}
	for _, snip := range node.SNIP.All() {
		out, err := l.Backends[0].Output(t.Context(), "ping", "-n", "-c", "2", "-i", "0.05", "-W", "2", snip.String())
		if err != nil {
			t.Errorf("ping of SNIP %s: %v\n%s", snip, err, out)
		}
	}
	v.unharmed(t, "questions")
}

// question asks who has an IPv4 or IPv6 address, as all hosts do.
func (i *injector) question(t *testing.T, from, who netip.Addr) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: i.src[:], DstMAC: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EthernetType: layers.EthernetTypeARP}
	stack := []gopacket.SerializableLayer{eth, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPRequest, SourceHwAddress: i.src[:], SourceProtAddress: from.AsSlice(),
		DstHwAddress: make([]byte, 6), DstProtAddress: who.AsSlice(),
	}}
	if who.Is6() {
		last := who.As16()
		group := netip.MustParseAddr("ff02::1:ff00:0").As16()
		copy(group[13:], last[13:])
		eth.DstMAC, eth.EthernetType = append(net.HardwareAddr{0x33, 0x33}, group[12:]...), layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: from.AsSlice(), DstIP: group[:]}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
		if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		stack = []gopacket.SerializableLayer{eth, ip, icmp, &layers.ICMPv6NeighborSolicitation{
			TargetAddress: who.AsSlice(),
			Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: i.src[:]}},
		}}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// answeredFor returns the address that an ARP reply or a neighbour advertisement
// is about, and whether frame is one.
func answeredFor(frame []byte) (netip.Addr, bool) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok && arp.Operation == layers.ARPReply {
		return netip.AddrFrom4([4]byte(arp.SourceProtAddress)), true
	}
	if na, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement); ok {
		return netip.AddrFrom16([16]byte(na.TargetAddress)), true
	}
	return netip.Addr{}, false
}

// Frames longer than the link allows are the kernel's to drop; those that are
// longer than the packet memory's, because somebody has raised the MTU of a
// running node, are lost in front of the socket. Both are counted, and an
// interface that can't hold what may come says so.
func TestJumboFrames(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	v := newTarget(t, l, lab.NodeOptions{Engine: small})
	node := l.Nodes[0]
	jumbo := v.datagram4(pt.PayloadSize(2500))
	mtu := func(host *lab.Namespace, link string, bytes int) {
		t.Helper()
		if _, err := host.Output(t.Context(), "ip", "link", "set", "dev", link, "mtu", strconv.Itoa(bytes)); err != nil {
			t.Fatal(err)
		}
	}

	mtu(l.Router, node.Host(), 3000)
	before := rxDropped(t, node.Namespace, lab.ClientPlane)
	v.planes[lab.ClientPlane].send(t, jumbo, jumbo, jumbo)
	eventually(t, "the kernel has counted the frames", func() bool {
		return rxDropped(t, node.Namespace, lab.ClientPlane) == before+3
	})
	v.unharmed(t, "frames beyond the MTU")

	mtu(node.Namespace, lab.ClientPlane, 3000)
	eventually(t, "status says so", func() bool { return state(t, v.process, lab.ClientPlane) == "failed" })
	v.hit(t, []hostile{
		{"2500 bytes in frames of 2048", "", jumbo, lost},
		{"1700 bytes", "", v.datagram4(pt.PayloadSize(1700)), answered("too_big")}, // for the server plane
	})

	mtu(node.Namespace, lab.ClientPlane, 1500)
	mtu(l.Router, node.Host(), 1500)
	eventually(t, "status says so", func() bool { return state(t, v.process, lab.ClientPlane) == "up" })
	works(t, l)
	v.unharmed(t, "frames beyond the packet memory")
}

// rxDropped returns what a link has dropped on receipt.
func rxDropped(t *testing.T, host *lab.Namespace, link string) uint64 {
	t.Helper()
	out, err := host.Output(t.Context(), "ip", "-s", "-json", "link", "show", "dev", link)
	if err != nil {
		t.Fatal(err)
	}
	var links []struct {
		Stats struct {
			Rx struct{ Dropped uint64 }
		} `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil || len(links) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return links[0].Stats.Rx.Dropped
}

// Packets that fit the way in but not the way out draw a "too big", by which
// senders find the size that fits; damaged ones are dropped.
func TestSmallerWayOut(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	v := newTarget(t, l, lab.NodeOptions{Engine: small})
	if _, err := l.Nodes[0].Output(t.Context(), "ip", "link", "set", "dev", lab.ServerPlane, "mtu", "1300"); err != nil {
		t.Fatal(err)
	}
	large, large6 := v.datagram4(pt.PayloadSize(1400)), v.datagram6(pt.PayloadSize(1400))
	eventually(t, "the node knows", func() bool {
		v.planes[lab.ClientPlane].send(t, flip(large, l4At4+7))
		return status(t, v.process).Totals.Dropped["too_big"] > 0
	})
	v.hit(t, []hostile{
		{"too big", "", large, answered("too_big")},
		{"too big, IPv6", "", large6, answered("too_big")},
		{"too big and damaged", "", flip(large, l4At4+7), "too_big"},
		{"too big and damaged, IPv6", "", flip(large6, l4At6+7), "too_big"},
	})
	i := v.planes[lab.ClientPlane]
	i.send(t, large)
	reply := i.receive(t, func(f []byte) bool { return f[ipAt+9] == 1 && bytes.Equal(f[l4At4:l4At4+2], []byte{3, 4}) })
	if mtu := binary.BigEndian.Uint16(reply[l4At4+6:]); mtu != 1300 {
		t.Errorf("told an MTU of %d, want 1300", mtu)
	}
	pt.Check(t, reply, pt.WantSrc(v.vip4(0)), pt.WantDst(hostile4))
}

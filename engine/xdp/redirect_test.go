package xdp

import (
	"os"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"appliance/internal/privtest"
)

// enum xdp_action, include/uapi/linux/bpf.h.
const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4
)

func TestMain(m *testing.M) { os.Exit(privtest.Run(m)) }

// newProgram returns a program that knows ourAddresses, and that ends with the
// test, which it ends if programs cannot be loaded here.
func newProgram(t testing.TB) (*Program, *Addresses) {
	t.Helper()
	p, addresses, _ := newFilter(t)
	return p, addresses
}

// newFilter is newProgram that also returns the set of denied sources, which is
// empty.
func newFilter(t testing.TB) (*Program, *Addresses, *Denied) {
	t.Helper()
	addresses, err := NewAddresses(16)
	if err != nil {
		privtest.Unable(t, "make a BPF map", err)
	}
	t.Cleanup(func() { addresses.Close() })
	if err := addresses.Set(ourAddresses()); err != nil {
		t.Fatal(err)
	}
	denied, err := NewDenied(16)
	if err != nil {
		privtest.Unable(t, "make an LPM trie", err)
	}
	t.Cleanup(func() { denied.Close() })
	p, err := Load(Config{Addresses: addresses, Denied: denied, Queues: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, addresses, denied
}

// newSocket returns an AF_XDP socket that is bound to nothing, which is enough
// for an XSKMAP.
func newSocket(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		privtest.Unable(t, "make an AF_XDP socket", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_RX_RING, 64); err != nil {
		t.Fatal(err)
	}
	return fd
}

// expect runs a frame through the program and checks its verdict and which
// counter rose.
func expect(t *testing.T, p *Program, f []byte, action uint32, why Reason) {
	t.Helper()
	before, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := p.objects.Redirect.Test(f)
	if err != nil {
		t.Fatal(err)
	}
	after, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	before[why]++
	if got != action || after != before {
		t.Errorf("XDP action %d, want %d; counters %v, want %v", got, action, after, before)
	}
}

// tcp is a TCP header, udp a UDP header, with a few bytes of payload.
var (
	tcp = gopacket.Payload("\x30\x39\x00\x50\x00\x00\x00\x01\x00\x00\x00\x00\x50\x02\xff\xff\x00\x00\x00\x00data")
	udp = gopacket.Payload("\x30\x39\x00\x35\x00\x0c\x00\x00data")
)

func icmp(kind byte) gopacket.Payload {
	return gopacket.Payload{kind, 0, 0, 0, 0, 0, 0, 0, 'd', 'a', 't', 'a'}
}

func TestRedirectIPv4(t *testing.T) {
	p, _ := newProgram(t)
	if err := p.Register(0, newSocket(t)); err != nil {
		t.Fatal(err)
	}
	toVIP, toSNIP := v4(t, vip4, layers.IPProtocolTCP, tcp), v4(t, snip4, layers.IPProtocolTCP, tcp)
	echo := v4(t, snip4, layers.IPProtocolICMPv4, icmp(8))
	for _, c := range []struct {
		name   string
		frame  []byte
		action uint32
		why    Reason
	}{
		{"TCP to a VIP", toVIP, xdpRedirect, RedirectedVIP},
		{"UDP to a VIP", v4(t, vip4, layers.IPProtocolUDP, udp), xdpRedirect, RedirectedVIP},
		{"ping of a VIP", v4(t, vip4, layers.IPProtocolICMPv4, icmp(8)), xdpRedirect, RedirectedVIP},
		{"SCTP to a VIP", v4(t, vip4, layers.IPProtocolSCTP), xdpRedirect, RedirectedVIP},
		{"fragment to a VIP", fragment(toVIP, false, 100), xdpRedirect, RedirectedVIP},
		{"tagged, to a VIP", tagged(toVIP, 1), xdpRedirect, RedirectedVIP},
		{"VIP, header length lies", with(toVIP, 14, 0x4f), xdpRedirect, RedirectedVIP},
		{"VIP, header length below the least", with(toVIP, 14, 0x40), xdpRedirect, RedirectedVIP},
		{"VIP, cut behind the IP header", toVIP[:34], xdpRedirect, RedirectedVIP},

		{"TCP to a SNIP", toSNIP, xdpRedirect, RedirectedSNIP},
		{"UDP to a SNIP", v4(t, snip4, layers.IPProtocolUDP, udp), xdpRedirect, RedirectedSNIP},
		{"tagged, to a SNIP", tagged(toSNIP, 1), xdpRedirect, RedirectedSNIP},
		{"first fragment to a SNIP", fragment(toSNIP, true, 0), xdpRedirect, RedirectedSNIP},
		{"last fragment to a SNIP", fragment(toSNIP, false, 3), xdpRedirect, RedirectedSNIP},
		{"fragment of an echo to a SNIP", fragment(echo, true, 0), xdpRedirect, RedirectedSNIP},
		{"don't fragment is no fragment", with(echo, 20, 0x40), xdpPass, PassedSNIP},
		{"destination unreachable to a SNIP", v4(t, snip4, layers.IPProtocolICMPv4, icmp(3)), xdpRedirect, RedirectedSNIP},
		{"time exceeded to a SNIP", v4(t, snip4, layers.IPProtocolICMPv4, icmp(11)), xdpRedirect, RedirectedSNIP},
		{"parameter problem to a SNIP", v4(t, snip4, layers.IPProtocolICMPv4, icmp(12)), xdpRedirect, RedirectedSNIP},
		{"time exceeded behind IP options", with(v4(t, snip4, layers.IPProtocolICMPv4, gopacket.Payload{1, 1, 1, 1}, icmp(11)), 14, 0x46), xdpRedirect, RedirectedSNIP},
		{"echo to a SNIP", echo, xdpPass, PassedSNIP},
		{"echo reply to a SNIP", v4(t, snip4, layers.IPProtocolICMPv4, icmp(0)), xdpPass, PassedSNIP},
		{"ICMP redirect to a SNIP", v4(t, snip4, layers.IPProtocolICMPv4, icmp(5)), xdpPass, PassedSNIP},
		{"ICMP cut off, to a SNIP", v4(t, snip4, layers.IPProtocolICMPv4)[:34], xdpPass, PassedSNIP},
		{"ICMP behind a header length beyond the end", with(v4(t, snip4, layers.IPProtocolICMPv4, icmp(3)), 14, 0x4f), xdpPass, PassedSNIP},
		{"GRE to a SNIP", v4(t, snip4, layers.IPProtocolGRE), xdpPass, PassedSNIP},

		{"TCP to another address", v4(t, other4, layers.IPProtocolTCP, tcp), xdpPass, PassedForeign},
		{"fragment to another address", fragment(v4(t, other4, layers.IPProtocolTCP, tcp), false, 3), xdpPass, PassedForeign},
		{"tagged, to another address", tagged(v4(t, other4, layers.IPProtocolTCP, tcp), 1), xdpPass, PassedForeign},
		{"two tags, to a VIP", tagged(toVIP, 2), xdpPass, PassedOther},
		{"cut before the destination", toVIP[:33], xdpPass, PassedShort},
		{"tagged, cut before the destination", tagged(toVIP, 1)[:37], xdpPass, PassedShort},
		{"nothing but Ethernet", toVIP[:14], xdpPass, PassedShort},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, p, c.frame, c.action, c.why) })
	}
}

func TestRedirectIPv6(t *testing.T) {
	p, _ := newProgram(t)
	if err := p.Register(0, newSocket(t)); err != nil {
		t.Fatal(err)
	}
	const (
		hopopts  = layers.IPProtocolIPv6HopByHop
		routing  = layers.IPProtocolIPv6Routing
		fragment = layers.IPProtocolIPv6Fragment
		dstopts  = layers.IPProtocolIPv6Destination
		icmpv6   = layers.IPProtocolICMPv6
	)
	toVIP := v6(t, vip6, layers.IPProtocolTCP, tcp)
	for _, c := range []struct {
		name   string
		frame  []byte
		action uint32
		why    Reason
	}{
		{"TCP to a VIP", toVIP, xdpRedirect, RedirectedVIP},
		{"ping of a VIP", v6(t, vip6, icmpv6, icmp(128)), xdpRedirect, RedirectedVIP},
		{"neighbour solicitation to a VIP", v6(t, vip6, icmpv6, icmp(135)), xdpRedirect, RedirectedVIP},
		{"fragment to a VIP", v6(t, vip6, fragment, extensions(layers.IPProtocolTCP, fragment)), xdpRedirect, RedirectedVIP},
		{"tagged, to a VIP", tagged(toVIP, 1), xdpRedirect, RedirectedVIP},
		{"VIP, cut behind the IP header", toVIP[:54], xdpRedirect, RedirectedVIP},

		{"TCP to a SNIP", v6(t, snip6, layers.IPProtocolTCP, tcp), xdpRedirect, RedirectedSNIP},
		{"UDP to a SNIP", v6(t, snip6, layers.IPProtocolUDP, udp), xdpRedirect, RedirectedSNIP},
		{"tagged, to a SNIP", tagged(v6(t, snip6, layers.IPProtocolUDP, udp), 1), xdpRedirect, RedirectedSNIP},
		{"fragment to a SNIP", v6(t, snip6, fragment, extensions(icmpv6, fragment), icmp(128)), xdpRedirect, RedirectedSNIP},
		{"TCP behind extension headers", v6(t, snip6, hopopts, extensions(layers.IPProtocolTCP, hopopts, dstopts, routing, dstopts), tcp), xdpRedirect, RedirectedSNIP},
		{"TCP behind as many as we look through", v6(t, snip6, dstopts, extensions(layers.IPProtocolTCP, repeat(dstopts, 6)...), tcp), xdpRedirect, RedirectedSNIP},
		{"TCP behind one more", v6(t, snip6, dstopts, extensions(layers.IPProtocolTCP, repeat(dstopts, 7)...), tcp), xdpPass, PassedSNIP},
		{"TCP behind a long extension header", v6(t, snip6, hopopts, append(gopacket.Payload{6, 1}, make([]byte, 14)...), tcp), xdpRedirect, RedirectedSNIP},
		{"packet too big to a SNIP", v6(t, snip6, icmpv6, icmp(2)), xdpRedirect, RedirectedSNIP},
		{"last ICMPv6 error to a SNIP", v6(t, snip6, icmpv6, icmp(127)), xdpRedirect, RedirectedSNIP},
		{"unreachable behind hop-by-hop options", v6(t, snip6, hopopts, extensions(icmpv6, hopopts), icmp(1)), xdpRedirect, RedirectedSNIP},
		{"echo to a SNIP", v6(t, snip6, icmpv6, icmp(128)), xdpPass, PassedSNIP},
		{"neighbour solicitation to a SNIP", v6(t, snip6, icmpv6, icmp(135)), xdpPass, PassedSNIP},
		{"ICMPv6 cut off, to a SNIP", v6(t, snip6, icmpv6)[:54], xdpPass, PassedSNIP},
		{"extension header cut off, to a SNIP", v6(t, snip6, hopopts, gopacket.Payload{6})[:55], xdpPass, PassedSNIP},
		{"extension header that ends beyond the packet", v6(t, snip6, hopopts, gopacket.Payload{58, 255, 1, 4, 0, 0, 0, 0}), xdpPass, PassedSNIP},
		{"SCTP to a SNIP", v6(t, snip6, layers.IPProtocolSCTP), xdpPass, PassedSNIP},
		{"no next header, to a SNIP", v6(t, snip6, layers.IPProtocolNoNextHeader), xdpPass, PassedSNIP},

		{"TCP to another address", v6(t, other6, layers.IPProtocolTCP, tcp), xdpPass, PassedForeign},
		{"two tags, to a VIP", tagged(toVIP, 2), xdpPass, PassedOther},
		{"cut before the end of the destination", toVIP[:53], xdpPass, PassedShort},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, p, c.frame, c.action, c.why) })
	}
}

func TestRedirectOther(t *testing.T) {
	p, _ := newProgram(t)
	if err := p.Register(0, newSocket(t)); err != nil {
		t.Fatal(err)
	}
	arp := frame(t, layers.EthernetTypeARP, 0, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, Operation: layers.ARPRequest,
		SourceHwAddress: make([]byte, 6), SourceProtAddress: other4.AsSlice(),
		DstHwAddress: make([]byte, 6), DstProtAddress: snip4.AsSlice(),
	})
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"ARP for a SNIP", arp},
		{"tagged ARP", tagged(arp, 1)},
		{"LLDP", frame(t, layers.EthernetTypeLinkLayerDiscovery, 0, gopacket.Payload(make([]byte, 46)))},
		{"802.3 length instead of a type", frame(t, 46, 0, gopacket.Payload(make([]byte, 46)))},
		{"802.1ad tag", with(tagged(v4(t, vip4, layers.IPProtocolTCP, tcp), 1), 12, 0x88)},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, p, c.frame, xdpPass, PassedOther) })
	}
}

// TestNoSocket is the law that a frame of ours never reaches the kernel.
func TestNoSocket(t *testing.T) {
	p, _ := newProgram(t)
	toVIP, toSNIP := v4(t, vip4, layers.IPProtocolTCP, tcp), v6(t, snip6, layers.IPProtocolUDP, udp)
	expect(t, p, toVIP, xdpDrop, DroppedNoSocket)
	expect(t, p, toSNIP, xdpDrop, DroppedNoSocket)
	expect(t, p, v6(t, other6, layers.IPProtocolUDP, udp), xdpPass, PassedForeign)

	fd := newSocket(t)
	if err := p.Register(0, fd); err != nil {
		t.Fatal(err)
	}
	expect(t, p, toVIP, xdpRedirect, RedirectedVIP)
	if err := p.Unregister(0); err != nil {
		t.Fatal(err)
	}
	if err := p.Unregister(0); err != nil {
		t.Errorf("unregister twice: %v", err)
	}
	expect(t, p, toVIP, xdpDrop, DroppedNoSocket)
	if err := p.Register(4, fd); err == nil {
		t.Error("registered a socket for queue 4 of 4")
	}
	if err := p.Register(0, 0); err == nil {
		t.Error("registered a descriptor that is no AF_XDP socket")
	}
}

// FuzzRedirect looks for a frame that the program treats as no reading of it
// allows, with a reading of its own of what it knows for certain.
func FuzzRedirect(f *testing.F) {
	p, _ := newProgram(f)
	for _, seed := range [][]byte{
		v4(f, vip4, layers.IPProtocolTCP, tcp), v4(f, snip4, layers.IPProtocolICMPv4, icmp(3)),
		v6(f, vip6, layers.IPProtocolUDP, udp), v6(f, snip6, 0, extensions(58, 0, 60), icmp(1)),
		tagged(v4(f, other4, layers.IPProtocolTCP, tcp), 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 14 || len(in) > 3000 {
			t.Skip("not a frame that BPF_PROG_TEST_RUN takes")
		}
		action, _, err := p.objects.Redirect.Test(in)
		if err != nil {
			t.Fatal(err)
		}
		switch kind := slowKind(in); {
		case kind == VIP && action != xdpDrop: // no queue has a socket here
			t.Errorf("action %d for a frame to a VIP", action)
		case kind == 0 && action != xdpPass:
			t.Errorf("action %d for a frame that is not ours", action)
		}
	})
}

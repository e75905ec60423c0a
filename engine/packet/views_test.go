package packet

import (
	"testing"

	"appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

// What setters write, gopacket must read, and getters too.
func TestEthernetView(t *testing.T) {
	frame := udp4()
	h := Ethernet(frame)
	dst, src := [6]byte{2, 1, 2, 3, 4, 5}, [6]byte{2, 6, 7, 8, 9, 10}
	h.SetDst(dst)
	h.SetSrc(src)
	packettest.Check(t, frame, packettest.WantMACs(src, dst))
	same(t, "source", h.Src(), src)
	same(t, "destination", h.Dst(), dst)
	same(t, "type", h.Type(), EtherTypeIPv4)
	h.SetType(EtherTypeARP)
	same(t, "type", h.Type(), EtherTypeARP)
}

func TestIPv4View(t *testing.T) {
	frame := udp4(packettest.TOS(0xb8), packettest.ID(77), packettest.DontFragment(), packettest.TTL(9), packettest.PayloadSize(2))
	h := IPv4(frame[EthernetSize:])
	same(t, "header length", h.HeaderLen(), IPv4Size)
	same(t, "TOS", h.TOS(), 0xb8)
	same(t, "total length", h.TotalLen(), 30)
	same(t, "identification", h.ID(), 77)
	same(t, "fragment word", h.FragmentWord(), DontFragment)
	same(t, "TTL", h.TTL(), 9)
	same(t, "protocol", h.Proto(), ProtoUDP)
	same(t, "source", h.Src(), 0xc0000201)
	same(t, "destination", h.Dst(), 0xc6336401)
	same(t, "addresses", h.Addrs(), 0xc0000201_c6336401)

	h.SetTTL(200)
	h.SetID(78)
	h.SetFragmentWord(0)
	h.UpdateChecksum()
	packettest.Check(t, frame, packettest.WantTTL(200))
	p, _ := packettest.Decode(frame)
	same(t, "identification", p.IPv4.Id, 78)
	same(t, "flags", uint8(p.IPv4.Flags), 0)
}

func TestIPv6View(t *testing.T) {
	frame := tcp6(packettest.TOS(0xb9), packettest.TTL(9))
	h := IPv6(frame[EthernetSize:])
	same(t, "traffic class", h.TrafficClass(), 0xb9)
	same(t, "payload length", h.PayloadLen(), TCPSize)
	same(t, "next header", h.NextHeader(), ProtoTCP)
	same(t, "hop limit", h.HopLimit(), 9)
	same(t, "first address is the source", [16]byte(h.Addrs()[:16]), *h.Src())
	same(t, "second address is the destination", [16]byte(h.Addrs()[16:]), *h.Dst())

	h.SetHopLimit(10)
	h.SetTrafficClass(0x46)
	same(t, "version", h[0]>>4, 6)
	packettest.Check(t, frame, packettest.WantTTL(10), packettest.WantTOS(0x46))
}

func TestTransportViews(t *testing.T) {
	frame := tcp4(packettest.Flags("SA"), packettest.SeqAck(5, 6), packettest.MSS(1460))
	seg := TCP(frame[EthernetSize+IPv4Size:])
	same(t, "source port", seg.SrcPort(), 40000)
	same(t, "destination port", seg.DstPort(), 80)
	same(t, "sequence", seg.Seq(), 5)
	same(t, "acknowledgment", seg.Ack(), 6)
	same(t, "flags", seg.Flags(), TCPSyn|TCPAck)
	same(t, "header length", seg.HeaderLen(), 24)

	frame = udp4(packettest.PayloadSize(3))
	dgram := UDP(frame[EthernetSize+IPv4Size:])
	same(t, "source port", dgram.SrcPort(), 40000)
	same(t, "destination port", dgram.DstPort(), 80)
	same(t, "length", dgram.Len(), 11)

	frame = packettest.Echo("192.0.2.1", "192.0.2.2", packettest.EchoID(3, 4))
	msg := ICMP(frame[EthernetSize+IPv4Size:])
	same(t, "type", msg.Type(), ICMPEcho)
	same(t, "code", msg.Code(), 0)
	same(t, "identifier and number", msg.Rest(), 3<<16|4)
}

// What NAT does: other addresses, other ports, and every checksum follows.
func TestRewriteKeepsChecksums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := drawFrame(t)
		var info Info
		if Parse(frame, &info) != OK {
			return
		}
		d := rewriteAddrs(t, frame, &info)
		ports := rapid.Uint32Min(1<<16|1).Draw(t, "new ports")
		switch info.Proto {
		case ProtoTCP:
			h := info.TCP(frame)
			d = d.Long(info.Ports(), ports)
			h.SetSrcPort(uint16(ports >> 16))
			h.SetDstPort(uint16(ports))
			h.SetChecksum(d.Apply(h.Checksum()))
		case ProtoUDP:
			h := info.UDP(frame)
			d = d.Word(info.SrcPort, uint16(ports>>16)).Word(info.DstPort, uint16(ports))
			h.SetSrcPort(uint16(ports >> 16))
			h.SetDstPort(uint16(ports))
			before := h.Checksum()
			h.SetChecksum(d.ApplyUDP(before))
			same(t, "has a checksum", h.Checksum() != 0, before != 0)
		case ProtoICMPv6:
			h := info.ICMP(frame)
			h.SetChecksum(d.Apply(h.Checksum()))
		}
		if _, err := packettest.Decode(frame[:info.End]); err != nil {
			t.Fatalf("%v", err)
		}
		same(t, "checksum is right", VerifyL4(frame, &info), true)
	})
}

// rewriteAddrs gives the packet other addresses and returns what that changed.
func rewriteAddrs(t *rapid.T, frame []byte, info *Info) Delta {
	if info.Flags&FlagIPv6 == 0 {
		h := info.IPv4(frame)
		old, now := h.Addrs(), rapid.Uint64().Draw(t, "new addresses")
		d := Delta(0).Long(uint32(old>>32), uint32(now>>32)).Long(uint32(old), uint32(now))
		h.SetAddrs(now)
		h.SetChecksum(d.Apply(h.Checksum()))
		return d
	}
	h := info.IPv6(frame)
	src, dst := drawAddr(t, true, "new source").As16(), drawAddr(t, true, "new destination").As16()
	d := Delta(0).Addr(h.Src(), &src).Addr(h.Dst(), &dst)
	h.SetSrc(&src)
	h.SetDst(&dst)
	return d
}

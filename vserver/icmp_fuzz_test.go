package vserver

import (
	"testing"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// FuzzError sends ICMP errors that are whole but quote anything, to a node with a
// flow of each path. What passes is as long as it was, has right checksums, and
// goes from a SNIP to a backend or from the VIP to a client; nothing else than
// addresses, ports and checksums has changed of the quote.
func FuzzError(f *testing.F) {
	n := newNode(f, errorConfig())
	for _, p := range paths {
		c := n.dial(p, 0)
		for _, way := range c.passages(pt.PayloadSize(30)) {
			quote := way.out[ipAt:]
			f.Add(quote, p.v6(), way.side == serverSide, p.troubles()[4].typ, uint32(1400), true)
			f.Add(quote[:headerSize(p)+8], p.v6(), way.side == serverSide, p.troubles()[0].typ, uint32(0), false)
			f.Add(append(quote, 1, 2, 3), p.v6(), way.side == serverSide, p.troubles()[0].typ, uint32(len(quote)/4)<<16, true)
		}
		f.Add(p.build(p.vip, p.client, pt.IPOption(148, 0, 0), pt.HopByHop(8), pt.Fragment(0, true))[ipAt:], p.v6(), false, uint8(3), uint32(0), true)
	}
	f.Fuzz(func(t *testing.T, quote []byte, v6, toSNIP bool, typ uint8, rest uint32, summed bool) {
		if len(quote) > 1400 {
			return
		}
		quote = append([]byte(nil), quote...)
		if summed && !v6 {
			framed := append(make([]byte, ipAt), quote...)
			framed[12] = packet.EtherTypeIPv4 >> 8
			setIPv4Checksum(framed)
			quote = framed[ipAt:]
		}
		src, dst, side := "192.0.9.9", "198.51.100.10", uint8(clientSide)
		switch {
		case v6 && toSNIP:
			src, dst, side = "2001:db8:bad::9", "fd00:1::254", serverSide
		case v6:
			src, dst = "2001:db8:bad::9", "2001:db8:1::10"
		case toSNIP:
			dst, side = "10.1.0.254", serverSide
		}
		n.t = t
		in := pt.ICMPError(typ, 0, rest, src, dst, quote)
		o := n.one(side, in)
		judge(t, in, o)
		if o.Verdict == engine.Transmit && o.ICMPType != packet.ICMPEchoReply && o.ICMPType != packet.ICMPv6EchoReply {
			passedOn(t, quote, in, o)
		}
	})
}

// passedOn fails unless an error that left is the one that came in.
func passedOn(t *testing.T, quote, in []byte, o outcome) {
	if len(o.frame) != len(in) {
		t.Fatalf("%d bytes became %d", len(in), len(o.frame))
	}
	var after packet.Info
	if packet.Parse(o.frame, &after); after.Flags&packet.FlagICMPError == 0 {
		t.Fatalf("about no flow any more: %x", o.frame)
	}
	if o.Out == clientSide && (after.SrcPort != 80 || after.DstPort != 40000) {
		t.Fatalf("to a client from port %d to %d", after.SrcPort, after.DstPort)
	}
	if o.Out == serverSide && after.DstPort != 80 && after.DstPort != 81 {
		t.Fatalf("to a backend from port %d to %d", after.SrcPort, after.DstPort)
	}
	l4 := int(after.QuoteL4) - after.QuoteL3()
	for i, b := range quoteOf(outcome{Packet: engine.Packet{Info: after}, frame: o.frame}) {
		if b != quote[i] && !mayChange(i, l4, &after) {
			t.Fatalf("byte %d of the quote changed from %#02x to %#02x", i, quote[i], b)
		}
	}
}

// mayChange reports whether byte i of a quote belongs to an address, a port or a
// checksum, the transport header being at l4.
func mayChange(i, l4 int, info *packet.Info) bool {
	addrs, sum := [2]int{12, 20}, 6
	if info.Flags&packet.FlagIPv6 != 0 {
		addrs = [2]int{8, 40}
	} else if i == 10 || i == 11 {
		return true
	}
	if info.QuoteProto == packet.ProtoTCP {
		sum = 16
	}
	at := i - l4
	return i >= addrs[0] && i < addrs[1] || at >= 0 && at < 4 || at == sum || at == sum+1
}

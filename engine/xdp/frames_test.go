package xdp

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The addresses of the tests (RFC 5737, RFC 3849).
var (
	vip4, vip6     = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	snip4, snip6   = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:1::1")
	other4, other6 = netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:2::1")
)

func ourAddresses() map[netip.Addr]Kind {
	return map[netip.Addr]Kind{vip4: VIP, vip6: VIP, snip4: SNIP, snip6: SNIP}
}

// frame serialises layers into an Ethernet frame; tags are 802.1Q tags.
func frame(t testing.TB, etherType layers.EthernetType, tags int, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	eth := &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		EthernetType: etherType,
	}
	all := []gopacket.SerializableLayer{eth}
	for i := range tags {
		eth.EthernetType = layers.EthernetTypeDot1Q
		tag := &layers.Dot1Q{VLANIdentifier: 100 + uint16(i), Type: layers.EthernetTypeDot1Q}
		if i == tags-1 {
			tag.Type = etherType
		}
		all = append(all, tag)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, append(all, ls...)...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// v4 is an IPv4 packet to dst.
func v4(t testing.TB, dst netip.Addr, proto layers.IPProtocol, payload ...gopacket.SerializableLayer) []byte {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: other4.AsSlice(), DstIP: dst.AsSlice()}
	return frame(t, layers.EthernetTypeIPv4, 0, append([]gopacket.SerializableLayer{ip}, payload...)...)
}

// v6 is an IPv6 packet to dst.
func v6(t testing.TB, dst netip.Addr, next layers.IPProtocol, payload ...gopacket.SerializableLayer) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: other6.AsSlice(), DstIP: dst.AsSlice()}
	return frame(t, layers.EthernetTypeIPv6, 0, append([]gopacket.SerializableLayer{ip}, payload...)...)
}

// tagged returns the frame with 802.1Q tags put in.
func tagged(f []byte, tags int) []byte {
	out := append([]byte(nil), f[:12]...)
	for i := range tags {
		out = append(out, 0x81, 0x00, 0, byte(100+i))
	}
	return append(out, f[12:]...)
}

// fragment returns an IPv4 frame as a fragment at offset, in units of 8 bytes.
func fragment(f []byte, more bool, offset uint16) []byte {
	out := append([]byte(nil), f...)
	out[20], out[21] = byte(offset>>8), byte(offset)
	if more {
		out[20] |= 0x20
	}
	return out
}

// with returns the frame with one byte changed.
func with(f []byte, at int, b byte) []byte {
	out := append([]byte(nil), f...)
	out[at] = b
	return out
}

// extensions returns IPv6 extension headers of the given kinds, 8 bytes each,
// the last one followed by a header of kind then.
func extensions(then layers.IPProtocol, kinds ...layers.IPProtocol) gopacket.Payload {
	var out []byte
	for i := range kinds {
		next := then
		if i+1 < len(kinds) {
			next = kinds[i+1]
		}
		out = append(out, byte(next), 0, 1, 4, 0, 0, 0, 0) // a PadN option of 4 bytes
	}
	return out
}

// repeat returns n times the kind.
func repeat(kind layers.IPProtocol, n int) []layers.IPProtocol {
	kinds := make([]layers.IPProtocol, n)
	for i := range kinds {
		kinds[i] = kind
	}
	return kinds
}

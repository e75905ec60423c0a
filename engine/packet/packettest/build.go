package packettest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The link-layer addresses of frames that no MAC option says otherwise of.
var (
	SrcMAC = [6]byte{0x02, 0, 0, 0, 0, 0x01}
	DstMAC = [6]byte{0x02, 0, 0, 0, 0, 0x02}
)

// A spec is what a frame shall be; options edit it.
type spec struct {
	src, dst       netip.AddrPort
	srcMAC, dstMAC [6]byte
	vlan           uint16
	priority       uint8
	tagged         bool
	ttl, tos       uint8
	id             uint16
	df             bool
	offset         int
	more           bool
	ipOptions      []layers.IPv4Option
	extensions     []extension
	tcp            layers.TCP
	noChecksum     bool
	echoID, echoNo uint16
	payload        []byte
	trailer        int
}

// TCP builds a segment from src to dst, both "address:port". Without a Flags
// option it has ACK set.
func TCP(src, dst string, opts ...Option) []byte {
	s := newSpec(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst), opts)
	s.tcp.SrcPort = layers.TCPPort(s.src.Port())
	s.tcp.DstPort = layers.TCPPort(s.dst.Port())
	return s.build(layers.IPProtocolTCP, &s.tcp)
}

// UDP builds a datagram from src to dst, both "address:port".
func UDP(src, dst string, opts ...Option) []byte {
	s := newSpec(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst), opts)
	return s.build(layers.IPProtocolUDP, &layers.UDP{
		SrcPort: layers.UDPPort(s.src.Port()),
		DstPort: layers.UDPPort(s.dst.Port()),
	})
}

// Echo builds an ICMP or ICMPv6 echo request from src to dst, both addresses.
func Echo(src, dst string, opts ...Option) []byte {
	s := newSpec(address(src), address(dst), opts)
	if s.src.Addr().Is4() {
		return s.build(layers.IPProtocolICMPv4, &layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0),
			Id:       s.echoID, Seq: s.echoNo,
		})
	}
	s.payload = append([]byte{byte(s.echoID >> 8), byte(s.echoID), byte(s.echoNo >> 8), byte(s.echoNo)}, s.payload...)
	return s.build(layers.IPProtocolICMPv6, &layers.ICMPv6{
		TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0),
	})
}

// ICMPError builds an ICMP or ICMPv6 error from src to dst, both addresses, that
// quotes an IP packet or the beginning of one. rest is what follows the error's
// checksum: the MTU of a packet that is too big.
func ICMPError(typ, code uint8, rest uint32, src, dst string, quote []byte, opts ...Option) []byte {
	s := newSpec(address(src), address(dst), opts)
	if s.src.Addr().Is4() {
		s.payload = quote
		return s.build(layers.IPProtocolICMPv4, &layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: uint16(rest >> 16), Seq: uint16(rest),
		})
	}
	s.payload = append(binary.BigEndian.AppendUint32(nil, rest), quote...)
	return s.build(layers.IPProtocolICMPv6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)})
}

// Raw builds an IP packet of any protocol from src to dst, both addresses,
// around the Payload option's bytes.
func Raw(proto uint8, src, dst string, opts ...Option) []byte {
	s := newSpec(address(src), address(dst), opts)
	return s.build(layers.IPProtocol(proto), gopacket.Payload(nil))
}

func address(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 0) }

func newSpec(src, dst netip.AddrPort, opts []Option) *spec {
	if src.Addr().Is4() != dst.Addr().Is4() {
		panic(fmt.Sprintf("packettest: %v and %v are of different families", src, dst))
	}
	s := &spec{src: src, dst: dst, srcMAC: SrcMAC, dstMAC: DstMAC, ttl: 64, echoID: 1, echoNo: 1}
	s.tcp = layers.TCP{ACK: true, Seq: 1000, Ack: 2000, Window: 64000}
	for _, o := range opts {
		o(s)
	}
	return s
}

// build puts the frame together around its transport header.
func (s *spec) build(proto layers.IPProtocol, transport gopacket.SerializableLayer) []byte {
	stack := s.network(proto)
	if c, ok := transport.(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		must(c.SetNetworkLayerForChecksum(stack[0].(gopacket.NetworkLayer)))
	}
	if s.offset == 0 {
		stack = append(stack, transport)
	}
	buf := gopacket.NewSerializeBuffer()
	how := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	must(gopacket.SerializeLayers(buf, how, append(stack, gopacket.Payload(s.payload))...))
	ip := buf.Bytes()
	if proto == layers.IPProtocolUDP && s.offset == 0 {
		s.fixUDP(ip[len(ip)-len(s.payload)-8:])
	}
	return slices.Concat(s.link(), ip, make([]byte, s.trailer))
}

// fixUDP gives a datagram the checksum that gopacket doesn't: a computed zero
// is sent as 0xffff, and zero says that there is none (RFC 768).
func (s *spec) fixUDP(udp []byte) {
	sum := udp[6:8]
	if binary.BigEndian.Uint16(sum) == 0 {
		binary.BigEndian.PutUint16(sum, 0xffff)
	}
	if s.noChecksum {
		clear(sum)
	}
}

// link returns the Ethernet header. gopacket's would pad the frame to 60 bytes,
// which frames on virtual links aren't.
func (s *spec) link() []byte {
	h := slices.Concat(s.dstMAC[:], s.srcMAC[:])
	if s.tagged {
		h = binary.BigEndian.AppendUint16(h, uint16(layers.EthernetTypeDot1Q))
		h = binary.BigEndian.AppendUint16(h, uint16(s.priority)<<13|s.vlan)
	}
	typ := layers.EthernetTypeIPv4
	if s.src.Addr().Is6() {
		typ = layers.EthernetTypeIPv6
	}
	return binary.BigEndian.AppendUint16(h, uint16(typ))
}

// network returns the IP header and, as bytes, the extension headers.
func (s *spec) network(proto layers.IPProtocol) []gopacket.SerializableLayer {
	src, dst := s.src.Addr().AsSlice(), s.dst.Addr().AsSlice()
	if s.src.Addr().Is4() {
		return []gopacket.SerializableLayer{&layers.IPv4{
			Version: 4, TTL: s.ttl, TOS: s.tos, Id: s.id, Protocol: proto, SrcIP: src, DstIP: dst,
			Flags: s.flags4(), FragOffset: uint16(s.offset / 8), Options: s.ipOptions,
		}}
	}
	first, chain := s.chain(uint8(proto))
	return []gopacket.SerializableLayer{
		&layers.IPv6{
			Version: 6, HopLimit: s.ttl, TrafficClass: s.tos, NextHeader: layers.IPProtocol(first), SrcIP: src, DstIP: dst,
		},
		gopacket.Payload(chain),
	}
}

func (s *spec) flags4() (f layers.IPv4Flag) {
	if s.df {
		f |= layers.IPv4DontFragment
	}
	if s.more {
		f |= layers.IPv4MoreFragments
	}
	return f
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("packettest: build: %v", err))
	}
}

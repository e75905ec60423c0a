package packettest

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/gopacket/layers"
)

// An Option says how a frame differs from the plainest one.
type Option func(*spec)

// MACs sets the link-layer addresses.
func MACs(src, dst [6]byte) Option { return func(s *spec) { s.srcMAC, s.dstMAC = src, dst } }

// VLAN gives the frame an 802.1Q tag.
func VLAN(id uint16) Option { return func(s *spec) { s.vlan, s.tagged = id, true } }

// Priority sets the priority in the 802.1Q tag.
func Priority(p uint8) Option { return func(s *spec) { s.priority = p } }

// Trailer puts n zero bytes behind the IP packet: Ethernet padding.
func Trailer(n int) Option { return func(s *spec) { s.trailer = n } }

// TTL sets the TTL or hop limit, 64 otherwise.
func TTL(n uint8) Option { return func(s *spec) { s.ttl = n } }

// TOS sets the TOS or traffic class.
func TOS(n uint8) Option { return func(s *spec) { s.tos = n } }

// ID sets the IPv4 identification.
func ID(n uint16) Option { return func(s *spec) { s.id = n } }

// DontFragment sets the IPv4 flag.
func DontFragment() Option { return func(s *spec) { s.df = true } }

// Fragment makes the packet a fragment at offset bytes, a multiple of 8, of its
// datagram's payload. Later fragments (offset > 0) carry the payload only. In
// IPv6 it adds the fragment header, behind extensions named before it; with
// offset 0 and no more to come that is an atomic fragment.
func Fragment(offset int, more bool) Option {
	return func(s *spec) {
		s.offset, s.more = offset, more
		var b [6]byte
		binary.BigEndian.PutUint16(b[:], uint16(offset))
		if more {
			b[1] |= 1
		}
		binary.BigEndian.PutUint32(b[2:], 0x1234)
		s.extensions = append(s.extensions, extension{44, b[:]})
	}
}

// IPOption adds an IPv4 option. Types 0 (end) and 1 (no operation) have no data.
func IPOption(typ uint8, data ...byte) Option {
	return func(s *spec) {
		s.ipOptions = append(s.ipOptions, layers.IPv4Option{
			OptionType: typ, OptionLength: uint8(2 + len(data)), OptionData: data,
		})
	}
}

// An extension is an IPv6 extension header: its protocol number and all that
// follows its first two bytes.
type extension struct {
	proto uint8
	body  []byte
}

// HopByHop adds an IPv6 hop-by-hop options header of n bytes, a multiple of 8.
func HopByHop(n int) Option { return padding(0, n) }

// DestinationOptions adds an IPv6 destination options header of n bytes, a
// multiple of 8.
func DestinationOptions(n int) Option { return padding(60, n) }

// padding adds an options header that holds nothing but padding: PadN options
// of at most 257 bytes (RFC 8200 section 4.2).
func padding(proto uint8, n int) Option {
	if n < 8 || n%8 != 0 || n > 2048 {
		panic(fmt.Sprintf("packettest: extension header of %d bytes", n))
	}
	body := make([]byte, n-2)
	for at := 0; at < len(body); {
		size := min(len(body)-at, 200)
		if len(body)-at-size == 1 {
			size--
		}
		body[at], body[at+1] = 1, byte(size-2)
		at += size
	}
	return func(s *spec) { s.extensions = append(s.extensions, extension{proto, body}) }
}

// Routing adds an IPv6 routing header without addresses.
func Routing(typ, segmentsLeft uint8) Option {
	return func(s *spec) {
		s.extensions = append(s.extensions, extension{43, []byte{typ, segmentsLeft, 0, 0, 0, 0}})
	}
}

// chain returns the protocol number of the first header behind the IPv6 header
// and the bytes of all extension headers, which lead to proto.
func (s *spec) chain(proto uint8) (first uint8, chain []byte) {
	for i, e := range s.extensions {
		next := proto
		if i+1 < len(s.extensions) {
			next = s.extensions[i+1].proto
		}
		chain = append(chain, next, byte((len(e.body)+2)/8-1))
		chain = append(chain, e.body...)
	}
	if len(s.extensions) > 0 {
		return s.extensions[0].proto, chain
	}
	return proto, nil
}

// Flags sets a segment's flags: letters of "SAFRPUEC" for SYN, ACK, FIN, RST,
// PSH, URG, ECE and CWR; others stay clear.
func Flags(letters string) Option {
	return func(s *spec) {
		has := func(l string) bool { return strings.Contains(letters, l) }
		t := &s.tcp
		t.SYN, t.ACK, t.FIN, t.RST = has("S"), has("A"), has("F"), has("R")
		t.PSH, t.URG, t.ECE, t.CWR = has("P"), has("U"), has("E"), has("C")
	}
}

// SeqAck sets a segment's sequence and acknowledgment numbers.
func SeqAck(seq, ack uint32) Option { return func(s *spec) { s.tcp.Seq, s.tcp.Ack = seq, ack } }

// MSS adds the maximum segment size option to a segment.
func MSS(n uint16) Option {
	return func(s *spec) {
		s.tcp.Options = append(s.tcp.Options, layers.TCPOption{
			OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(n >> 8), byte(n)},
		})
	}
}

// NoChecksum clears the UDP checksum field: no checksum.
func NoChecksum() Option { return func(s *spec) { s.noChecksum = true } }

// EchoID sets identifier and sequence number of an echo request.
func EchoID(id, number uint16) Option {
	return func(s *spec) { s.echoID, s.echoNo = id, number }
}

// Payload sets what follows the transport header.
func Payload(b []byte) Option { return func(s *spec) { s.payload = b } }

// PayloadSize sets a payload of n bytes that count up.
func PayloadSize(n int) Option {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return Payload(b)
}

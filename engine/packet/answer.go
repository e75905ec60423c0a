package packet

import "encoding/binary"

// answerTTL is the TTL or hop limit of packets made here: the default that RFC
// 1700 gives and every stack uses.
const answerTTL = 64

// ecnBits masks the ECN bits of a TOS or traffic class byte. Answers keep the
// packet's DSCP (RFC 1812 section 4.3.2.5) and clear ECN, for they are not
// ECN-capable transport (RFC 3168 section 6.1.1 and 19.2).
const ecnBits = 3

// EchoReply turns the echo request in frame into the reply to it, in place, and
// returns the reply's length in bytes (RFC 1122 section 3.2.2.6, RFC 4443
// section 4.2). It returns 0, with frame untouched, when frame is anything else
// or must not be answered. info must be what Parse found in frame, returning OK;
// it describes the reply on return.
//
// Everything behind the ICMP header returns as it came; IPv4 options and IPv6
// extension headers don't return.
func EchoReply(frame []byte, info *Info) int {
	request, reply := uint8(ICMPEcho), uint8(ICMPEchoReply)
	if info.Flags&FlagIPv6 != 0 {
		request, reply = ICMPv6Echo, ICMPv6EchoReply
	}
	if !info.icmp() || info.ICMPType != request || info.Flags&FlagFragment != 0 || !answerable(frame, info) {
		return 0
	}
	h := info.ICMP(frame)
	h.SetChecksum(Update16(h.Checksum(), uint16(request)<<8, uint16(reply)<<8))
	h.SetType(reply)
	info.ICMPType = reply

	payload := int(info.End - info.L4)
	copy(frame[int(info.L3)+info.ipSize():], h)
	Ethernet(frame).swapAddrs()
	return finish(frame, info, payload)
}

// TCPReset turns the segment in frame into the reset that a host sends for a
// connection it doesn't know, in place, and returns the reset's length in
// bytes (RFC 9293 section 3.10.7.1). It returns 0, with frame untouched, when
// frame is anything else, a reset itself, or must not be answered. info must be
// what Parse found in frame, returning OK; it describes the reset on return.
func TCPReset(frame []byte, info *Info) int {
	if info.Proto != ProtoTCP || info.TCPFlags&TCPRst != 0 || info.Flags&FlagFragment != 0 || !answerable(frame, info) {
		return 0
	}
	h := info.TCP(frame)
	seq, ack, flags := h.Ack(), uint32(0), uint8(TCPRst)
	if info.TCPFlags&TCPAck == 0 {
		seq, ack, flags = 0, h.Seq()+segmentLen(h), TCPRst|TCPAck
	}
	info.SrcPort, info.DstPort = info.DstPort, info.SrcPort
	info.TCPFlags = flags

	clearFragment(frame, info)
	out := TCP(frame[int(info.L3)+info.ipSize():][:TCPSize])
	binary.BigEndian.PutUint32(out[0:], info.Ports())
	binary.BigEndian.PutUint32(out[4:], seq)
	binary.BigEndian.PutUint32(out[8:], ack)
	binary.BigEndian.PutUint64(out[12:], TCPSize>>2<<60|uint64(flags)<<48)
	Ethernet(frame).swapAddrs()
	n := finish(frame, info, TCPSize)
	out.SetChecksum(Checksum(out, pseudoSum(frame[info.L3:], info, TCPSize)))
	return n
}

// segmentLen returns how many sequence numbers a segment takes up: its bytes,
// and one each for SYN and FIN (RFC 9293 section 3.4).
func segmentLen(h TCP) uint32 {
	n := uint32(len(h) - h.HeaderLen())
	return n + uint32(h.Flags()>>1&1) + uint32(h.Flags()&1)
}

// answerable reports whether a packet may be answered at all, by RFC 1122
// section 3.2.2 and RFC 4443 section 2.4(e): it came for this station alone, and
// it isn't damaged: an answer to a damaged packet could go to anyone. That its
// addresses are single hosts', Parse has seen to. Fragments are the caller's to
// rule out.
func answerable(frame []byte, info *Info) bool {
	return !Ethernet(frame).Group() && VerifyL4(frame, info)
}

// finish writes the IP header of an answer whose transport part, n bytes, is in
// place behind a bare IP header: options and extension headers gone, addresses
// swapped. It returns the frame's length and adjusts info.
func finish(frame []byte, info *Info, n int) int {
	info.L4 = info.L3 + uint16(info.ipSize())
	info.End = info.L4 + uint16(n)
	if info.Flags&FlagIPv6 != 0 {
		h := IPv6(frame[info.L3:])
		h.SetTrafficClass(h.TrafficClass() &^ ecnBits)
		h.SetPayloadLen(uint16(n))
		h.SetNextHeader(info.Proto)
		h.SetHopLimit(answerTTL)
		src, dst := *h.Src(), *h.Dst()
		h.SetSrc(&dst)
		h.SetDst(&src)
		return int(info.End)
	}
	h := IPv4(frame[info.L3:])
	h[0] = 4<<4 | IPv4Size>>2
	h[1] &^= ecnBits
	h.SetTotalLen(uint16(IPv4Size + n))
	h.SetTTL(answerTTL)
	h[9] = info.Proto
	h.SetAddrs(h.Addrs()<<32 | h.Addrs()>>32)
	h.UpdateChecksum()
	return int(info.End)
}

// clearFragment makes an IPv4 answer of our own making atomic, so that it needs
// no identification of its own (RFC 6864 section 4.1).
func clearFragment(frame []byte, info *Info) {
	if info.Flags&FlagIPv6 == 0 {
		h := IPv4(frame[info.L3:])
		h.SetID(0)
		h.SetFragmentWord(DontFragment)
	}
}

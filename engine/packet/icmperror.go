package packet

// A Problem is why an ICMP error is sent.
type Problem uint8

// The problems, with type and code in ICMP (RFC 792, RFC 1812 section 5.2.7)
// and in ICMPv6 (RFC 4443 section 3).
const (
	PortUnreachable Problem = iota // 3/3 and 1/4: nobody listens
	HostUnreachable                // 3/1 and 1/3: nobody to forward to
	AdminProhibited                // 3/13 and 1/1: not by our policy
	TimeExceeded                   // 11/0 and 3/0: TTL or hop limit ran out
	PacketTooBig                   // 3/4 and 2/0: with the MTU that it must fit
	problems
)

var problemTypes = [problems]struct{ v4, v6 [2]uint8 }{
	PortUnreachable: {v4: [2]uint8{ICMPUnreachable, 3}, v6: [2]uint8{ICMPv6Unreachable, 4}},
	HostUnreachable: {v4: [2]uint8{ICMPUnreachable, 1}, v6: [2]uint8{ICMPv6Unreachable, 3}},
	AdminProhibited: {v4: [2]uint8{ICMPUnreachable, 13}, v6: [2]uint8{ICMPv6Unreachable, 1}},
	TimeExceeded:    {v4: [2]uint8{ICMPTimeExceeded, 0}, v6: [2]uint8{ICMPv6TimeExceeded, 0}},
	PacketTooBig:    {v4: [2]uint8{ICMPUnreachable, 4}, v6: [2]uint8{ICMPv6PacketTooBig, 0}},
}

// The longest IP packets that carry an ICMP error: what every path takes.
const (
	maxErrorIPv4 = 576  // RFC 1812 section 4.3.2.3
	maxErrorIPv6 = 1280 // RFC 4443 section 2.4(c)
)

// ICMPErrorHeadroom is how many bytes ICMPError needs in front of the frame:
// an IPv6 and an ICMPv6 header.
const ICMPErrorHeadroom = IPv6Size + ICMPSize

// ICMPError turns the frame at buf[off:] into an ICMP error about it, which
// quotes as much of the packet as it may. The packet doesn't move: the new
// headers go in front of it, so off must be at least ICMPErrorHeadroom. mtu is
// what a PacketTooBig tells; no other Problem has a use for it. The error's
// source is the packet's destination, its link-layer addresses are swapped.
//
// It returns how many bytes the frame grew at the front and the new frame's
// length. It returns 0, 0, with the frame untouched, when the packet must not
// be answered: an ICMP error, a redirect, a later fragment, multicast, broadcast,
// or damaged (RFC 1122 section 3.2.2, RFC 4443 section 2.4(e)); nor is a first
// fragment of which FirstFragment hasn't found the ports. info must be what Parse
// found in the frame, returning OK; it describes the error on return.
func ICMPError(buf []byte, off int, info *Info, why Problem, mtu uint16) (grew, n int) {
	frame := buf[off:]
	if info.icmpError() || info.headless() || !answerable(frame, info) {
		return 0, 0
	}
	limit, typ, proto := maxErrorIPv4, problemTypes[why].v4, uint8(ProtoICMP)
	if info.Flags&FlagIPv6 != 0 {
		limit, typ, proto = maxErrorIPv6, problemTypes[why].v6, ProtoICMPv6
	}
	grew = info.ipSize() + ICMPSize
	quoted := min(int(info.End-info.L3), limit-grew)

	frame = buf[off-grew:]
	copy(frame, buf[off:off+int(info.L3)+info.ipSize()])
	Ethernet(frame).swapAddrs()
	clearFragment(frame, info)
	info.Proto, info.ICMPType, info.TCPFlags = proto, typ[0], 0
	info.Flags &^= FlagPorts | FlagFragment
	info.SrcPort, info.DstPort = 0, 0
	n = finish(frame, info, ICMPSize+quoted)

	h := info.ICMP(frame)
	h.SetType(typ[0])
	h.SetCode(typ[1])
	h.SetRest(0)
	if why == PacketTooBig {
		h.SetRest(uint32(mtu))
	}
	h.SetChecksum(0)
	sum := uint32(0)
	if proto == ProtoICMPv6 {
		sum = pseudoSum(frame[info.L3:], info, len(h))
	}
	h.SetChecksum(Checksum(h, sum))
	return grew, n
}

// icmpError reports whether the packet is an ICMP error or redirect, or of a
// type that isn't known to be none.
func (i *Info) icmpError() bool {
	if !i.icmp() {
		return false
	}
	if i.Flags&FlagIPv6 != 0 {
		return i.ICMPType < ICMPv6Echo || i.ICMPType == ICMPv6Redirect
	}
	switch i.ICMPType {
	case ICMPUnreachable, ICMPSourceQuench, ICMPRedirect, ICMPTimeExceeded, ICMPParameterProblem:
		return true
	}
	return false
}

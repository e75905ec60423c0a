package packet

// FinishL4 completes a TCP or UDP checksum that its sender left to hardware
// which isn't there, and reports whether it did. info is what Parse found in
// frame, returning OK.
//
// A kernel that sends to a device with checksum offload writes the folded sum of
// the pseudo-header where the checksum belongs (CHECKSUM_PARTIAL in
// include/linux/skbuff.h). A veth pair has that feature and no hardware: it
// hands the packet over as it is, and an XDP program sees it so. Such a packet
// is known by that value. A finished packet has it once in 65,536; if it is
// right, finishing it again changes nothing.
func FinishL4(frame []byte, info *Info) bool {
	if info.Flags&FlagPorts == 0 {
		return false
	}
	l4 := frame[info.L4:info.End]
	if info.Proto == ProtoTCP {
		h := TCP(l4)
		if h.Checksum() != Fold(pseudoSum(frame[info.L3:], info, len(l4))) {
			return false
		}
		h.SetChecksum(Checksum(l4, 0))
		return true
	}
	h := UDP(l4)
	l4 = l4[:h.Len()]
	if h.Checksum() == 0 || h.Checksum() != Fold(pseudoSum(frame[info.L3:], info, len(l4))) {
		return false
	}
	sum := Checksum(l4, 0)
	if sum == 0 {
		sum = 0xffff // zero would mean none: RFC 768
	}
	h.SetChecksum(sum)
	return true
}

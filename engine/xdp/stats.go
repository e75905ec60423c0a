package xdp

import "fmt"

// A Reason says where the program sent a frame, and why.
type Reason uint32

// The reasons, in the order of redirect.c.
const (
	PassedOther     = Reason(redirectReasonREASON_PASSED_OTHER)      // to the kernel: neither IPv4 nor IPv6, or more than one VLAN tag
	PassedShort     = Reason(redirectReasonREASON_PASSED_SHORT)      // to the kernel: ends before its destination address
	PassedForeign   = Reason(redirectReasonREASON_PASSED_FOREIGN)    // to the kernel: destination neither VIP nor SNIP
	PassedSNIP      = Reason(redirectReasonREASON_PASSED_SNIP)       // to the kernel: to a SNIP, but not TCP, UDP, a fragment or an ICMP error
	RedirectedVIP   = Reason(redirectReasonREASON_REDIRECTED_VIP)    // to the socket of its queue
	RedirectedSNIP  = Reason(redirectReasonREASON_REDIRECTED_SNIP)   // to the socket of its queue
	DroppedNoSocket = Reason(redirectReasonREASON_DROPPED_NO_SOCKET) // ours, but its queue has no socket: a fault to be reported
	DroppedDenied   = Reason(redirectReasonREASON_DROPPED_DENIED)    // to a VIP, from a denied source

	Reasons = Reason(redirectReasonREASONS) // how many there are
)

var reasonNames = [Reasons]string{
	PassedOther:     "passed_other",
	PassedShort:     "passed_short",
	PassedForeign:   "passed_foreign",
	PassedSNIP:      "passed_snip",
	RedirectedVIP:   "redirected_vip",
	RedirectedSNIP:  "redirected_snip",
	DroppedNoSocket: "dropped_no_socket",
	DroppedDenied:   "dropped_denied",
}

// String returns the reason's name as it stands in status and metrics.
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint32(r))
}

// Stats are a program's frames by reason since it was loaded. Redirected frames
// are those that the program gave to a socket; the socket may still have
// dropped them, which its own counters say.
type Stats [Reasons]uint64

// Stats returns the program's counters, summed over all CPUs.
func (p *Program) Stats() (Stats, error) {
	var sum Stats
	var byCPU []uint64
	for r := range Reasons {
		if err := p.objects.Counters.Lookup(uint32(r), &byCPU); err != nil {
			return Stats{}, fmt.Errorf("xdp: read counter %v: %w", r, err)
		}
		for _, n := range byCPU {
			sum[r] += n
		}
	}
	return sum, nil
}

package packet

import "fmt"

// A Reason says why a packet was dropped. Zero means that it was not. There is
// one counter a Reason and engine, and its name is the label that operators
// see, so a name is never reused for something else.
type Reason uint8

// The reasons, grouped by who finds them: Parse, the engine, a virtual server.
const (
	OK Reason = iota

	// Found by Parse.
	Truncated      // the frame, or the datagram in it, ends before the headers it announces
	BadEthertype   // neither IPv4, IPv6 nor one 802.1Q tag around them
	BadVersion     // the IP version field contradicts the EtherType
	BadLength      // a length field contradicts the frame or another length
	BadIPChecksum  // IPv4 header checksum wrong (RFC 1812 section 5.2.2)
	BadL4Checksum  // TCP, UDP or ICMP checksum wrong, if the engine verifies them; always: that of an ICMP error about a flow, none on UDP over IPv6
	BadExtension   // IPv6 extension headers too many, too long or out of place
	BadSource      // source address that no host can have (multicast, unspecified, loopback and the like)
	BadDestination // destination address that no host can have, likewise
	BadPort        // TCP or UDP port 0
	BadTCPFlags    // TCP flags that no stack sends (none at all, SYN+FIN, SYN+RST)
	SourceRoute    // IPv4 source route or IPv6 routing header with segments left (RFC 6274, RFC 5095)
	UnknownProto   // neither TCP, UDP, ICMP nor ICMPv6
	BadQuote       // ICMP error whose quoted packet is too short, lies, or wasn't sent by the error's receiver

	// Found by the engine.
	TxFull      // the transmit ring had no room
	HandoffFull // the ring to the owning engine had no room
	NoPort      // the packet's egress interface has no open port

	// Found by a virtual server.
	Fragment      // a fragment of ICMP
	OtherStation  // the frame's link-layer destination is another station, or a group of them
	UnknownVLAN   // tagged for a VLAN that the kernel has no interface for
	WrongPlane    // to a SNIP, from an interface that no backends are behind
	NotOurs       // the destination is neither a VIP nor a SNIP of this configuration
	NoService     // a VIP, but no virtual server on that port and protocol
	NoBackend     // a virtual server, but no backend that may take the flow
	BackendsFull  // every backend that might take the flow has as many as it may
	ServiceFull   // the virtual server has as many flows as it may
	BackendDown   // the flow's backend is down, and such flows are reset
	NoRoute       // no route to the next hop
	NoNeighbour   // the next hop's link-layer address is not known (yet)
	NoFlow        // mid-flow packet of a flow that nobody knows
	NoSourcePort  // nat: all source ports of the flow's bucket are in use
	FlowTableFull // no room for a new flow
	NewFlowLimit  // nat: over the engine's limit of new flows
	SourceLimit   // over the source's limit of new flows
	TTLExceeded   // TTL or hop limit would reach zero
	TooBig        // the packet does not fit the egress MTU
	NoHeadroom    // ipip, gue: the driver left no room in front of the frame for more headers
	ICMPUnhandled // an ICMP type that a virtual server doesn't answer or translate
	ICMPNoFlow    // an ICMP error about a flow that nobody knows
	RateLimited   // an answer (RST, ICMP) was due but over its rate limit
	Silent        // configured to be dropped without an answer

	// Found by a virtual server in fragments.
	FragmentOverlap   // it contradicts another fragment of its datagram, or one before it did
	FragmentOrphan    // the first fragment, which has the ports, didn't come in time
	FragmentTableFull // no room to hold it until the first fragment comes

	Reasons // how many there are
)

var reasonNames = [Reasons]string{
	OK:             "ok",
	Truncated:      "truncated",
	BadEthertype:   "bad_ethertype",
	BadVersion:     "bad_version",
	BadLength:      "bad_length",
	BadIPChecksum:  "bad_ip_checksum",
	BadL4Checksum:  "bad_l4_checksum",
	BadExtension:   "bad_extension",
	BadSource:      "bad_source",
	BadDestination: "bad_destination",
	BadPort:        "bad_port",
	BadTCPFlags:    "bad_tcp_flags",
	SourceRoute:    "source_route",
	Fragment:       "fragment",
	UnknownProto:   "unknown_proto",
	BadQuote:       "bad_quote",
	TxFull:         "tx_full",
	HandoffFull:    "handoff_full",
	NoPort:         "no_port",
	OtherStation:   "other_station",
	UnknownVLAN:    "unknown_vlan",
	WrongPlane:     "wrong_plane",
	NotOurs:        "not_ours",
	NoService:      "no_service",
	NoBackend:      "no_backend",
	BackendsFull:   "backends_full",
	ServiceFull:    "service_full",
	BackendDown:    "backend_down",
	NoRoute:        "no_route",
	NoNeighbour:    "no_neighbour",
	NoFlow:         "no_flow",
	NoSourcePort:   "no_source_port",
	FlowTableFull:  "flow_table_full",
	NewFlowLimit:   "new_flow_limit",
	SourceLimit:    "source_limit",
	TTLExceeded:    "ttl_exceeded",
	TooBig:         "too_big",
	NoHeadroom:     "no_headroom",
	ICMPUnhandled:  "icmp_unhandled",
	ICMPNoFlow:     "icmp_no_flow",
	RateLimited:    "rate_limited",
	Silent:         "silent",

	FragmentOverlap:   "fragment_overlap",
	FragmentOrphan:    "fragment_orphan",
	FragmentTableFull: "fragment_table_full",
}

// String returns the reason's name as it stands in status and metrics.
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

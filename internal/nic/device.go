package nic

// A device is an interface's receive side scaling, as its driver offers it.
// Errors are the kernel's: errors.ErrUnsupported, where the driver doesn't do
// that, and unix.ENODEV, when the interface is gone.
type device interface {
	settings() (settings, error)
	set(settings) error
	fields(flow) (uint64, error)
	setFields(flow, uint64) error
	close() error
}

// Settings are what places packets, but for the fields that are hashed.
type settings struct {
	table     []uint32 // queues; empty, in set: the kernel's default
	key       []byte
	function  uint8 // ETH_RSS_HASH_ bit; 0, in set: as it is
	transform uint8 // RXH_XFRM_ of the input, since Linux 6.8; 0: none
}

// toeplitz is the hash function of package rss, ETH_RSS_HASH_TOP
// (include/linux/ethtool.h).
const toeplitz = 1

// A flow is a kind of packet that a card chooses fields for:
// include/uapi/linux/ethtool.h has their numbers.
type flow struct {
	name string
	kind uint32
}

// flows are those with ports: TCP_V4_FLOW, UDP_V4_FLOW, TCP_V6_FLOW and
// UDP_V6_FLOW.
var flows = []flow{{"tcp4", 1}, {"udp4", 2}, {"tcp6", 5}, {"udp6", 6}}

// tuple is the fields that package rss hashes: RXH_IP_SRC, RXH_IP_DST,
// RXH_L4_B_0_1 (source port) and RXH_L4_B_2_3 (destination port), "sdfn" in the
// words of ethtool -N.
const tuple = 1<<4 | 1<<5 | 1<<6 | 1<<7

package gen

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
)

// Protocols a Generator can send, by IANA number.
const (
	TCP = 6
	UDP = 17
)

// TCP flags for Config.TCPFlags.
const (
	SYN = 0x02
	ACK = 0x10
)

// Frame sizes in bytes, Ethernet header included, FCS not.
const (
	// MinFrame is the shortest Ethernet frame: 64 bytes with the FCS, which is
	// how RFC 2544 counts and which neither Linux nor veth shows.
	MinFrame = 60
	// MaxFrame is the longest frame that the sink can verify (an MTU of 1500).
	MaxFrame = 1514
)

// firstPort is the source port of flow 0. It lies above the ports that a
// firewall or a stack treats in a special way.
const firstPort = 1024

// A Config describes the traffic of a Generator.
type Config struct {
	Egress         int        // index of the interface that the frames leave by
	SrcMAC, DstMAC [6]byte    // Ethernet addresses of every frame
	Client         netip.Addr // first client; IPv4, its low bits clear (see Clients)
	Clients        int        // how many client addresses, a power of two
	Flows          int        // how many flows take turns
	Dst            netip.Addr // IPv4 address that all frames go to
	DstPort        uint16     // port that all frames go to
	Proto          uint8      // UDP or TCP
	TCPFlags       uint8      // flags of every segment; TCP only
	Frame          int        // bytes of a frame, MinFrame to MaxFrame
	TOS            uint8      // IPv4 type of service of every frame: a mark that a StandIn knows it by
}

// Validate returns all that is wrong with c, or nil.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("gen: config: "+format, args...))
		}
	}
	check(c.Egress > 0, "no interface with index %d", c.Egress)
	check(c.Client.Is4() && c.Dst.Is4(), "addresses %v and %v, want IPv4", c.Client, c.Dst)
	check(c.Clients > 0 && bits.OnesCount(uint(c.Clients)) == 1, "%d clients, want a power of two", c.Clients)
	check(!c.Client.Is4() || c.Clients < 1 || addrBits(c.Client)&uint32(c.Clients-1) == 0,
		"first client %v is not aligned to %d clients", c.Client, c.Clients)
	check(c.Flows > 0 && c.Clients > 0 && (c.Flows-1)/max(c.Clients, 1) <= 65535-firstPort,
		"%d flows do not fit the source ports of %d clients", c.Flows, c.Clients)
	check(c.DstPort != 0, "no destination port")
	check(c.Proto == UDP || c.Proto == TCP, "protocol %d is neither UDP nor TCP", c.Proto)
	check(c.Frame >= MinFrame && c.Frame <= MaxFrame, "frames of %d bytes, want %d to %d", c.Frame, MinFrame, MaxFrame)
	return errors.Join(errs...)
}

// headers returns how many bytes of a frame are headers: Ethernet, IPv4 and TCP
// or UDP.
func (c *Config) headers() int {
	if c.Proto == TCP {
		return 14 + 20 + 20
	}
	return 14 + 20 + 8
}

// payload returns what all frames carry behind their headers: bytes that a
// swap, a shift or a cut would show in a checksum.
func (c *Config) payload() []byte {
	p := make([]byte, c.Frame-c.headers())
	for i := range p {
		p[i] = byte(i*7 + 1)
	}
	return p
}

// addrBits returns an IPv4 address as a number.
func addrBits(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

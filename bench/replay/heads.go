package replay

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"appliance/engine/packet"
	"appliance/engine/packet/packettest"
)

// A Head is the first cache line of a frame: all headers of an IPv4 packet
// without options, and the beginning of its payload.
type Head [64]byte

// Length is how long the packets are: the shortest Ethernet frame, without FCS.
const Length = 60

// Traffic says what packets Heads makes.
type Traffic struct {
	Client   netip.Addr // of flow 0; IPv4
	To       netip.AddrPort
	Targets  int    // addresses from To on, which flows go to in turn; 0: one
	TCPFlags string // letters as packettest.Flags has them; empty: UDP
}

const (
	firstPort      = 1024
	portsAClient   = 32 // flows a client address, before the next one
	ipAt, portsAt  = 14, 34
	udpSum, tcpSum = portsAt + 6, portsAt + 16
)

// Heads returns the packets of n flows, one each, that differ in client address
// and source port.
func Heads(n int, t Traffic) []Head {
	var frame []byte
	src := netip.AddrPortFrom(t.Client, firstPort).String()
	if t.TCPFlags != "" {
		frame = packettest.TCP(src, t.To.String(), packettest.Flags(t.TCPFlags), packettest.PayloadSize(Length-ipAt-40))
	} else {
		frame = packettest.UDP(src, t.To.String(), packettest.PayloadSize(Length-ipAt-28))
	}
	heads := make([]Head, n)
	for i := range heads {
		copy(heads[i][:], frame)
		heads[i].move(uint32(i/portsAClient), uint32(i%max(t.Targets, 1)), uint16(i%portsAClient), t.TCPFlags != "")
	}
	return heads
}

// move adds to the packet's addresses and source port and mends its checksums.
func (h *Head) move(src, dst uint32, port uint16, tcp bool) {
	ip := packet.IPv4(h[ipAt:])
	oldPort := binary.BigEndian.Uint16(h[portsAt:])
	moved := uint64(ip.Src()+src)<<32 | uint64(ip.Dst()+dst)
	delta := packet.Delta(0).Quad(ip.Addrs(), moved)
	ip.SetChecksum(delta.Apply(ip.Checksum()))
	ip.SetAddrs(moved)
	delta = delta.Word(oldPort, oldPort+port)
	binary.BigEndian.PutUint16(h[portsAt:], oldPort+port)
	if tcp {
		at := h[tcpSum:]
		binary.BigEndian.PutUint16(at, delta.Apply(binary.BigEndian.Uint16(at)))
	} else {
		at := h[udpSum:]
		binary.BigEndian.PutUint16(at, delta.ApplyUDP(binary.BigEndian.Uint16(at)))
	}
}

// Shuffle puts heads into a random order, the same one each time. A flow table
// that gave its records out in the order of the first packets then sees them in
// another, as it does behind a router.
func Shuffle(heads []Head) {
	rng := rand.New(rand.NewPCG(0x5eed, uint64(len(heads))))
	rng.Shuffle(len(heads), func(i, j int) { heads[i], heads[j] = heads[j], heads[i] })
}

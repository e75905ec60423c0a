package engine

import (
	"encoding/binary"
	"math/bits"

	"appliance/engine/packet"
	"appliance/rss"
)

// sort parses and hashes received frames and puts each where it belongs: into
// the batch, into the ring of the engine that owns it, or away.
func (e *Engine) sort(s *Snapshot, iface uint8, segs []Segment) {
	batch, bytes := e.batch, uint64(0)
	for _, seg := range segs {
		bytes += uint64(seg.Len)
		if s == nil { // nothing is published yet, so nothing is ours
			e.drop(seg.Frame, packet.NotOurs)
			continue
		}
		n := len(batch)
		p := &batch[:n+1][n]
		p.Segment, p.In = seg, iface
		p.Verdict, p.Reason, p.Out = Drop, packet.OK, 0
		frame := e.arena.Bytes(seg)
		why := packet.Parse(frame, &p.Info)
		if why == packet.OK && (s.FinishL4 || s.VerifyL4 || p.Flags&packet.FlagICMPError != 0) {
			why = checksum(s, frame, &p.Info)
		}
		if why != packet.OK {
			e.drop(seg.Frame, why)
			continue
		}
		p.Hash = hash(s.Hasher, frame, p)
		if owner := int(s.Cores.Engine(p.Hash)); owner != e.id {
			e.hand(owner, p)
			continue
		}
		batch = batch[:n+1]
	}
	e.batch = batch
	e.counters.RxPackets += uint64(len(segs))
	e.counters.RxBytes += bytes
}

// checksum does with a packet's transport checksum what the Snapshot asks for.
// That of an ICMP error is verified in any case: what it says changes how its
// receiver sends.
func checksum(s *Snapshot, frame []byte, info *packet.Info) packet.Reason {
	if s.FinishL4 {
		packet.FinishL4(frame, info)
	}
	if (s.VerifyL4 || info.Flags&packet.FlagICMPError != 0) && !packet.VerifyL4(frame, info) {
		return packet.BadL4Checksum
	}
	return packet.OK
}

// hash returns the packet's Toeplitz hash as a network card computes it: over
// addresses and ports for whole TCP and UDP packets, over the addresses for
// everything else (Microsoft, "RSS hashing types"). An ICMP error about a flow
// has the hash of the flow's packets that travel as it does, which a card can't
// know: it belongs to the flow's owner.
func hash(h *rss.Hasher, frame []byte, p *Packet) uint32 {
	if p.Flags&packet.FlagICMPError != 0 {
		return hashQuote(h, frame, p)
	}
	ports := p.Flags&packet.FlagPorts != 0
	if p.Flags&packet.FlagIPv6 == 0 {
		addrs := binary.BigEndian.Uint64(frame[p.L3+12:])
		if ports {
			return h.IPv4(addrs, p.Ports())
		}
		return h.IPv4Addrs(addrs)
	}
	addrs := (*[32]byte)(frame[p.L3+8:])
	if ports {
		return h.IPv6(addrs, p.Ports())
	}
	return h.IPv6Addrs(addrs)
}

// hashQuote returns the hash of what an ICMP error quotes, its addresses and
// ports swapped.
func hashQuote(h *rss.Hasher, frame []byte, p *Packet) uint32 {
	quoted := frame[p.QuoteL3():]
	if p.Flags&packet.FlagIPv6 == 0 {
		return h.IPv4(bits.RotateLeft64(packet.IPv4(quoted).Addrs(), 32), p.Ports())
	}
	var addrs [32]byte
	copy(addrs[:16], packet.IPv6(quoted).Dst()[:])
	copy(addrs[16:], packet.IPv6(quoted).Src()[:])
	return h.IPv6(&addrs, p.Ports())
}

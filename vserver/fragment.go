package vserver

import (
	"encoding/binary"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/rss"
	"appliance/vserver/fragments"
)

// MaxHeld is how many fragments an engine holds at most until it knows their
// ports: so many frames it must have more than it works with otherwise.
const MaxHeld = fragments.Frames

// expirePerPass bounds the datagrams that one Housekeep forgets: some 30 us.
const expirePerPass = 512

// portless handles packets that classify can't look up by their ports. It reports
// whether this one has got ports since and goes on as its flow's; else its kind is
// set, and if that is decided, its verdict too.
func (h *Handler) portless(s *Services, p *engine.Packet) bool {
	if p.Flags&packet.FlagFragment == 0 {
		p.Scratch[kind] = other
		return false
	}
	if p.Flags&packet.FlagPorts == 0 && !h.learn(s, p) {
		p.Scratch[kind] = decided
		return false
	}
	if owner := h.snapshot.Cores.Engine(p.Hash); int(owner) != h.cfg.Engine {
		p.Verdict = engine.Hand
		p.Scratch[kind] = decided
		return false
	}
	return true
}

// learn finds the ports and the hash of a fragment's flow, and reports whether it
// could; else the fragment has got its verdict.
func (h *Handler) learn(s *Services, p *engine.Packet) bool {
	if p.Reason != packet.OK { // held in vain
		return false
	}
	frame := h.arena.Bytes(p.Segment)
	dst := destination(frame, &p.Info)
	_, vip := s.vips.find(dst, hostTag)
	_, snip := s.bySNIP.find(dst, hostTag)
	switch {
	case snip && !s.fromServers(p.In):
		drop(p, packet.WrongPlane)
		return false
	case !vip && !snip:
		drop(p, packet.NotOurs)
		return false
	case p.Proto != packet.ProtoTCP && p.Proto != packet.ProtoUDP:
		drop(p, packet.Fragment)
		return false
	}
	part := packet.PartOf(frame, &p.Info)
	key := fragments.Key{ID: part.ID, Proto: p.Proto}
	source(&key.Src, frame, &p.Info)
	binary.BigEndian.PutUint64(key.Dst[:], dst.hi)
	binary.BigEndian.PutUint64(key.Dst[8:], dst.lo)
	if p.Flags&packet.FlagLater == 0 {
		if why := packet.FirstFragment(frame, &p.Info); why != packet.OK {
			drop(p, why)
			return false
		}
		p.Hash = flowHash(h.snapshot.Hasher, frame, &p.Info)
	}
	return h.fragments.Add(h.now, &key, part, p)
}

// flowHash returns the hash that whole packets of a fragment's flow have.
func flowHash(hasher *rss.Hasher, frame []byte, info *packet.Info) uint32 {
	if info.Flags&packet.FlagIPv6 != 0 {
		return hasher.IPv6(packet.IPv6(frame[info.L3:]).Addrs(), info.Ports())
	}
	return hasher.IPv4(packet.IPv4(frame[info.L3:]).Addrs(), info.Ports())
}

// renumber gives a fragment that nat rewrites the identification of its datagram
// on the way from src to dst.
func (h *Handler) renumber(p *engine.Packet, frame []byte, src, dst *[16]byte) {
	packet.SetFragmentID(frame, &p.Info, h.ids.ID(fragments.TagOf(p), src, dst))
}

// Release implements engine.Holder: fragments that wait no longer go on.
func (h *Handler) Release(out []engine.Packet) int { return h.fragments.Release(out) }

// Held implements engine.Holder.
func (h *Handler) Held() int { return h.fragments.Held() }

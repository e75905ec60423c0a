package xsk

import (
	"golang.org/x/sys/unix"

	"appliance/engine"
)

// minFrame is the shortest frame to send, in bytes: an Ethernet header. The
// kernel skips empty descriptors without completing them, and drivers take the
// header for granted.
const minFrame = 14

// Transmit queues frames in order, as many as the tx ring and the bound on
// outgoing frames have room for, and returns how many it took. A segment that
// cannot be sent (shorter than an Ethernet header, outside of its frame, or of
// a frame that the socket holds already) is taken too, and counted in TxErrors.
func (s *Socket) Transmit(segs []engine.Segment) int {
	if len(segs) == 0 {
		return 0
	}
	s.stalled = false
	n := s.tx.reserve(min(len(segs), s.cfg.Completion-s.held.Transmit))
	queued, bytes := 0, uint64(0)
	for _, seg := range segs[:n] {
		if !s.sendable(seg) {
			s.refuse(seg)
			continue
		}
		s.owner[seg.Frame] = outgoing
		s.tx.put(unix.XDPDesc{Addr: uint64(seg.Frame)<<s.shift + uint64(seg.Off), Len: uint32(seg.Len)})
		queued++
		bytes += uint64(seg.Len)
	}
	if queued > 0 {
		s.tx.publish()
		s.held.Transmit += queued
		s.count.txPackets.Add(uint64(queued))
		s.count.txBytes.Add(bytes)
	}
	return n
}

// sendable reports whether the kernel would send seg.
func (s *Socket) sendable(seg engine.Segment) bool {
	return int(seg.Frame) < len(s.owner) && s.owner[seg.Frame] == notHeld &&
		seg.Len >= minFrame && int(seg.Off)+int(seg.Len) <= 1<<s.shift
}

// refuse counts a segment that is not sendable. If the frame was the caller's
// to give, Reclaim returns it.
func (s *Socket) refuse(seg engine.Segment) {
	s.count.txErrors.Add(1)
	if int(seg.Frame) < len(s.owner) && s.owner[seg.Frame] == notHeld {
		s.owner[seg.Frame] = outgoing
		s.held.Transmit++
		s.refused = append(s.refused, seg.Frame) // its capacity is the bound on held.Transmit
	}
}

// Pending reports whether frames are queued that the kernel hasn't taken and
// that another Flush may move. While the link is down it is false: the frames
// wait for new traffic, or for the link.
func (s *Socket) Pending() bool { return !s.stalled && s.tx.backlog() > 0 }

// Reclaim puts frames whose transmission has ended onto free.
func (s *Socket) Reclaim(free *engine.Frames) {
	n := s.comp.available(s.cfg.Completion)
	good := 0
	for range n {
		frame := s.comp.take() >> s.shift
		if frame >= uint64(len(s.owner)) || s.owner[frame] != outgoing {
			continue
		}
		s.owner[frame] = notHeld
		free.Push(uint32(frame))
		good++
	}
	if n > 0 {
		s.comp.release()
		s.held.Transmit -= good
	}
	if good < n {
		s.count.badDescriptors.Add(uint64(n - good))
	}
	if len(s.refused) > 0 {
		s.giveBack(free)
	}
}

// giveBack returns refused frames.
func (s *Socket) giveBack(free *engine.Frames) {
	for _, frame := range s.refused {
		s.owner[frame] = notHeld
		free.Push(frame)
	}
	s.held.Transmit -= len(s.refused)
	s.refused = s.refused[:0]
}

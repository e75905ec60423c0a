package xsk

import (
	"golang.org/x/sys/unix"

	"appliance/engine"
)

// Receive moves up to len(out) received frames into out and returns how many.
func (s *Socket) Receive(out []engine.Segment) int {
	n := s.rx.available(len(out))
	if n == 0 {
		if !s.cfg.BusyPoll {
			return 0
		}
		s.recvfrom() // its errno is Err's business
		if n = s.rx.available(len(out)); n == 0 {
			return 0
		}
	}
	got, bytes := 0, uint64(0)
	for range n {
		seg, ok := s.received(s.rx.take())
		if !ok {
			continue
		}
		out[got] = seg
		got++
		bytes += uint64(seg.Len)
	}
	s.rx.release()
	s.held.Fill -= got
	s.count.rxPackets.Add(uint64(got))
	s.count.rxBytes.Add(bytes)
	if got < n {
		s.count.badDescriptors.Add(uint64(n - got))
	}
	return got
}

// received turns a descriptor into a segment, if it names a frame that is
// posted and bytes inside of it. The frame of a descriptor with bad bounds
// stays posted: Close returns it.
func (s *Socket) received(d unix.XDPDesc) (engine.Segment, bool) {
	frame := d.Addr >> s.shift
	off := d.Addr & (1<<s.shift - 1)
	if frame >= uint64(len(s.owner)) || s.owner[frame] != posted || off+uint64(d.Len) > 1<<s.shift {
		return engine.Segment{}, false
	}
	s.owner[frame] = notHeld
	return engine.Segment{Frame: uint32(frame), Off: uint16(off), Len: uint16(d.Len)}, true
}

// Refill posts free frames to receive into, until Config.Fill are posted, the
// fill ring is full, or free is empty.
func (s *Socket) Refill(free *engine.Frames) {
	if n := s.fill.reserve(min(s.cfg.Fill-s.held.Fill, free.Len())); n > 0 {
		for _, frame := range free.Take(n) {
			s.owner[frame] = posted
			s.fill.put(uint64(frame) << s.shift)
		}
		s.fill.publish()
		s.held.Fill += n
	}
	// Looked at even if nothing was posted: a driver may have found the ring
	// empty before the last post, and fallen asleep after it.
	if s.zeroCopy && s.fill.needWakeup() && s.fill.backlog() > 0 {
		s.count.kick.Add(1)
		s.recvfrom() // its errno is Err's business
	}
}

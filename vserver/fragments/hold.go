package fragments

import (
	"appliance/engine"
	"appliance/engine/packet"
)

// A list is a queue of held packets, linked through packets.next. The zero list
// is empty: places count from 1.
type list struct{ first, last, n uint16 }

// packets are the places of held packets: each is free, in the list of its
// datagram, or ready to be released.
type packets struct {
	place [Frames + 1]engine.Packet // the zeroth is nobody's
	next  [Frames + 1]uint16
	size  int
	free  list
	ready list
}

func (s *packets) init(size int) {
	s.size = size
	for i := range uint16(size) {
		s.push(&s.free, i+1)
	}
}

// push appends a place to a list.
func (s *packets) push(l *list, place uint16) {
	s.next[place] = 0
	if l.n == 0 {
		l.first = place
	} else {
		s.next[l.last] = place
	}
	l.last = place
	l.n++
}

// pop takes the first place off a list, which isn't empty.
func (s *packets) pop(l *list) uint16 {
	place := l.first
	l.first = s.next[place]
	l.n--
	return place
}

// hold keeps a packet until its datagram's first fragment comes. If there is no
// room, the oldest packet that is held gives way: it is dropped in this one's
// place.
func (t *Table) hold(d *datagram, p *engine.Packet) {
	p.Verdict, p.Reason = engine.Drop, packet.OK // as whoever meets it again expects it
	if t.free.n > 0 {
		place := t.pop(&t.free)
		t.place[place] = *p
		t.push(&d.held, place)
		p.Verdict = engine.Hold
		return
	}
	victim := t.oldestHolder()
	if victim == nil || victim == d {
		refuse(p, packet.FragmentTableFull)
		return
	}
	place := t.pop(&victim.held)
	t.place[place], *p = *p, t.place[place]
	t.push(&d.held, place)
	refuse(p, packet.FragmentTableFull)
}

// oldestHolder returns the oldest datagram that holds packets, or nil. A datagram
// that holds none any more won't again, and one that began without won't ever,
// but for one whose first packets were refused, so the search goes on where it
// ended last.
func (t *Table) oldestHolder() *datagram {
	if int32(t.holder-t.oldest) < 0 {
		t.holder = t.oldest
	}
	for ; t.holder != t.newest; t.holder++ {
		if d := t.at(t.holder); d.held.n > 0 {
			return d
		}
	}
	return nil
}

// letGo makes a datagram's held packets ready: to go on, if why is OK, else to be
// dropped for that reason.
func (t *Table) letGo(d *datagram, why packet.Reason) {
	for d.held.n > 0 {
		place := t.pop(&d.held)
		p := &t.place[place]
		p.Reason = why
		if why == packet.OK {
			t.equip(d, p)
		}
		t.push(&t.ready, place)
	}
}

// Release moves packets that are held no longer into out, as engine.Holder has
// it, and returns how many. One that has a Reason is to be dropped for it; the
// others go on, as those of which Add says so.
func (t *Table) Release(out []engine.Packet) int {
	n := min(len(out), int(t.ready.n))
	for i := range n {
		place := t.pop(&t.ready)
		out[i] = t.place[place]
		t.push(&t.free, place)
	}
	return n
}

// Held returns how many packets the Table has, those ready for Release among
// them.
func (t *Table) Held() int { return t.size - int(t.free.n) }

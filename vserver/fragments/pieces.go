package fragments

import "appliance/engine/packet"

// A piece is the bytes of one fragment.
type piece struct{ from, to uint16 }

// pieces are the fragments of a datagram that have come by, in order and without
// overlap, and what is known of its size.
type pieces struct {
	n    uint16
	have uint16 // bytes in all
	size uint16 // of the datagram, behind its headers; 0: the last fragment hasn't come
	list [Parts]piece
}

func (s *pieces) clear() { s.n, s.have, s.size = 0, 0, 0 }

// complete reports whether every byte has come by.
func (s *pieces) complete() bool { return s.size != 0 && s.have == s.size }

// add takes note of a fragment. It returns OK, for an exact duplicate too;
// FragmentOverlap if it contradicts one that came before; or FragmentTableFull
// if there is no room for more, and no note was taken. Most fragments come in
// order, so the search for its place begins at the end.
func (s *pieces) add(part packet.Part) packet.Reason {
	p := piece{part.Offset, part.End}
	i := s.n
	for i > 0 && s.list[i-1].from >= p.from {
		i--
	}
	switch last := !part.More; {
	case i < s.n && s.list[i] == p:
		if last != (p.to == s.size) {
			return packet.FragmentOverlap // the same bytes, but not the same end
		}
		return packet.OK
	case i > 0 && s.list[i-1].to > p.from, i < s.n && p.to > s.list[i].from:
		return packet.FragmentOverlap
	case last && (s.size != 0 || i < s.n), !last && s.size != 0 && p.to >= s.size:
		return packet.FragmentOverlap // two ends, or something behind the end
	case s.n == Parts:
		return packet.FragmentTableFull
	case last:
		s.size = p.to
	}
	copy(s.list[i+1:s.n+1], s.list[i:s.n])
	s.list[i] = p
	s.n++
	s.have += p.to - p.from
	return packet.OK
}

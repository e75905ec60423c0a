package vserver

import (
	"cmp"
	"slices"

	"appliance/engine/packet"
)

// A portMap finds the services of one VIP that have more than one port. Those
// of a single port are found by the index before anybody asks here, so that the
// most specific wins: the port, then a range, then all ports.
type portMap struct {
	tcp, udp portSpans
}

// portSpans are the ranges of one protocol: disjoint, in order. Immutable.
type portSpans struct {
	spans []portSpan
	rest  uint32 // slot of the service on all ports
	all   bool   // there is one
}

// A portSpan leads from a range to its service.
type portSpan struct {
	first, last uint16
	slot        uint32
}

// of returns the ranges of a protocol.
func (m *portMap) of(proto uint8) *portSpans {
	if proto == packet.ProtoTCP {
		return &m.tcp
	}
	return &m.udp
}

// add enters the service in a slot; the ranges of one protocol don't overlap.
func (s *portSpans) add(ports PortRange, slot uint32) {
	if ports == AllPorts {
		s.rest, s.all = slot, true
		return
	}
	one := portSpan{ports.First(), ports.Last(), slot}
	at, _ := slices.BinarySearchFunc(s.spans, one, func(a, b portSpan) int { return cmp.Compare(a.first, b.first) })
	s.spans = slices.Insert(s.spans, at, one)
}

// find returns the slot of the service that has a port.
func (s *portSpans) find(port uint16) (slot uint32, ok bool) {
	if slot, ok = s.meets(port, port); ok {
		return slot, true
	}
	return s.rest, s.all
}

// meets returns the slot of the lowest range that has a port from first to last,
// by binary search: ten steps where a VIP has a thousand ranges.
func (s *portSpans) meets(first, last uint16) (slot uint32, ok bool) {
	low, high := 0, len(s.spans)
	for low < high {
		if middle := (low + high) / 2; s.spans[middle].last < first {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(s.spans) && s.spans[low].first <= last {
		return s.spans[low].slot, true
	}
	return 0, false
}

// spread enters a service of more than one port under its VIP.
func (s *Services) spread(vip address, ports PortRange, proto Protocol, slot uint32) {
	n, _ := s.vips.find(vip, hostTag)
	if n == 0 {
		s.ranges = append(s.ranges, portMap{})
		n = uint32(len(s.ranges))
		s.vips.set(vip, hostTag, n)
	}
	s.ranges[n-1].of(uint8(proto)).add(ports, slot)
}

// inRange returns the slot of the service that has a port among others. n is
// what vips has for the VIP.
func (s *Services) inRange(n uint32, port uint16, proto uint8) (slot uint32, ok bool) {
	if n == 0 {
		return 0, false
	}
	return s.ranges[n-1].of(proto).find(port)
}

// serviceAt returns the slot of the service that packets to a port of an address
// belong to, as classify finds it.
func (s *Services) serviceAt(a address, port uint16, proto uint8) (slot uint32, ok bool) {
	if slot, ok = s.byPort.find(a, portTag(port, proto)); ok {
		return slot, true
	}
	n, _ := s.vips.find(a, hostTag)
	return s.inRange(n, port, proto)
}

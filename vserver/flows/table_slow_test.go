package flows

import (
	"errors"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"appliance/engine/packet"
	"appliance/rss"
)

// A slowTable is the oracle of Table: a map, searched from end to end. It holds
// the flows that are alive, under the address of the Record that the Table has
// for them, and knows nothing of an index, a sweep or hints.
type slowTable struct {
	flows    map[*Record]Record
	reported map[*Record]bool // inserted, and not reported as removed yet
	roster   *Roster
	now      uint32
}

// begin is Table.Begin: what is dead now is gone.
func (s *slowTable) begin(now uint32, roster *Roster) {
	s.now, s.roster = now, roster
	maps.DeleteFunc(s.flows, func(_ *Record, r Record) bool { return s.dead(&r) })
}

func (s *slowTable) dead(r *Record) bool {
	stale := s.roster.Services[r.Service.Slot()] != r.Service.Gen() ||
		s.roster.Peers[r.Backend.Slot()].Gen != r.Backend.Gen()
	return stale || int32(r.Deadline-s.now) <= 0
}

// forward returns what Table.Forward must return.
func (s *slowTable) forward(key ForwardKey) *Record {
	for p, r := range s.flows {
		if r.State != Resting && r.ForwardKey == key {
			return p
		}
	}
	return nil
}

// holder returns the flow that holds a return tuple, resting or not.
func (s *slowTable) holder(key ReturnKey) *Record {
	for p, r := range s.flows {
		tuple := ReturnKey{
			Backend:     s.roster.Peers[r.Backend.Slot()].Addr,
			BackendPort: r.BackendPort, SNIPPort: r.SNIPPort, SNIP: r.SNIP, Proto: r.Proto,
		}
		if r.SNIPPort != 0 && tuple == key {
			return p
		}
	}
	return nil
}

// left returns how many ticks a flow has left.
func (s *slowTable) left(p *Record) int32 { return int32(s.flows[p].Deadline - s.now) }

// victims returns the flows one of which must give way when a table that holds
// nothing dead is full.
func (s *slowTable) victims() []*Record {
	return s.victimsAmong(slices.Collect(maps.Keys(s.flows)))
}

// victimsAmong returns those of some flows one of which must give way to a new
// one: of the closed ones, else of those without an answer or a whole
// handshake, those whose Deadline is first.
func (s *slowTable) victimsAmong(flows []*Record) []*Record {
	over := []State{Closing, ResetClient, ResetServer, Resting}
	early := []State{Unreplied, Answered, SynSent, SynReceived}
	for _, states := range [][]State{over, early} {
		if v := s.oldest(flows, states); len(v) > 0 {
			return v
		}
	}
	return nil
}

// oldest returns those of the flows in these states whose Deadline is first.
func (s *slowTable) oldest(flows []*Record, states []State) (first []*Record) {
	for _, p := range flows {
		if !slices.Contains(states, s.flows[p].State) {
			continue
		}
		if len(first) > 0 && s.left(p) > s.left(first[0]) {
			continue
		}
		if len(first) > 0 && s.left(p) < s.left(first[0]) {
			first = nil
		}
		first = append(first, p)
	}
	return first
}

// slowPorts returns every port from 1024 on that leads the return packets of a
// path into the bucket of hash, by trying them all.
func slowPorts(h *rss.Hasher, buckets int, path *Path, hash uint32) (ports []uint16) {
	for port := 1024; port < 1<<16; port++ {
		if (path.hash(h, uint16(port))^hash)&uint32(buckets-1) == 0 {
			ports = append(ports, uint16(port))
		}
	}
	return ports
}

// checkPort fails unless PickPort may have answered so.
func (s *slowTable) checkPort(t *rapid.T, ports []uint16, key ReturnKey, reclaim bool, port uint16, err error) {
	var free []uint16
	var taken []*Record
	for _, key.SNIPPort = range ports {
		p := s.holder(key)
		if p == nil {
			free = append(free, key.SNIPPort)
		} else {
			taken = append(taken, p)
		}
	}
	victims := s.victimsAmong(taken)
	switch {
	case len(free) > 0:
		if err != nil || !slices.Contains(free, port) {
			t.Fatalf("picked %d, %v; free are %v", port, err, free)
		}
	case reclaim && len(victims) > 0:
		key.SNIPPort = port
		p := s.holder(key)
		if err != nil || !slices.Contains(victims, p) {
			t.Fatalf("picked %d, %v; none is free, and one of %d others had to go", port, err, len(victims))
		}
		delete(s.flows, p)
	case !errors.Is(err, ErrNoPort):
		t.Fatalf("picked %d, %v; all are in use", port, err)
	}
}

// drawSegment draws a TCP header, and perhaps payload, of few different kinds,
// so that a handful of them opens, closes and reopens connections.
func drawSegment(t *rapid.T) []byte {
	flags := rapid.SampledFrom([]uint8{
		packet.TCPSyn, packet.TCPSyn | packet.TCPAck, packet.TCPAck, packet.TCPAck,
		packet.TCPFin | packet.TCPAck, packet.TCPRst,
	}).Draw(t, "flags")
	seq := rapid.SampledFrom([]uint32{0, 1, 2, 1 << 30, 1<<32 - 1}).Draw(t, "seq")
	ack := rapid.SampledFrom([]uint32{1, 2, 1 << 30}).Draw(t, "ack")
	return segment(flags, seq, ack, rapid.IntRange(0, 2).Draw(t, "payload"))
}

package fragments

import (
	"encoding/binary"
	"fmt"

	"appliance/engine"
)

// A Tag tells the datagrams of a node apart, as long as they are remembered:
//
//	31 30      25 24                                 0
//	+--+---------+------------------------------------+
//	|1 | engine  | serial number                      |
//	+--+---------+------------------------------------+
type Tag uint32

const (
	tagWord    = 3 // of engine.Packet.Scratch: where a fragment that goes on has its Tag
	tagMark    = 1 << 31
	serialBits = 25
)

// TagOf returns the Tag of a fragment's datagram. Valid for those that go on, in
// the engine that they go to as well.
func TagOf(p *engine.Packet) Tag { return Tag(p.Scratch[tagWord]) }

func (t *Table) tag(d *datagram) Tag {
	return Tag(tagMark | t.engine<<serialBits | d.serial&(1<<serialBits-1))
}

// IDs gives datagrams fresh identifications, the same to all fragments of one.
// Those toward one address from another come from a counter, which few pairs
// share: a receiver meets an identification again after as many datagrams as
// there are (RFC 4963 says what happens sooner). Counters begin anywhere, so that
// nobody can tell the next one (RFC 7739). The engines of a node share addresses,
// so each has its own part of the identifications: those that leave its number
// when divided by how many there are.
//
// IDs are one engine's, used on its thread only. NewIDs makes them.
type IDs struct {
	engine, engines uint64
	seed            uint64
	given           []given // by engine and place of the datagram
	counters        [1024]uint64
}

// A given is the identification that a datagram has got.
type given struct {
	tag Tag
	id  uint32
}

// NewIDs returns the IDs of one of so many engines. seed should be random and
// secret.
func NewIDs(engineID, engines int, seed uint64) (*IDs, error) {
	if engines < 1 || engines > engine.MaxEngines || engineID < 0 || engineID >= engines {
		return nil, fmt.Errorf("fragments: new ids: engine %d of %d, want 0 to %d", engineID, engines, engine.MaxEngines-1)
	}
	s := &IDs{
		engine: uint64(engineID), engines: uint64(engines), seed: seed,
		given: make([]given, engines*Datagrams),
	}
	for i := range s.counters {
		s.counters[i] = fold(seed, uint64(i)) >> 1
	}
	return s, nil
}

// ID returns the identification of a datagram on its way from src to dst: 16 bits
// of it if they are IPv4-mapped. A datagram has but one way.
func (s *IDs) ID(tag Tag, src, dst *[16]byte) uint32 {
	serial := uint32(tag) &^ tagMark
	from, place := serial>>serialBits, serial%Datagrams
	g := &s.given[from*Datagrams+place]
	if g.tag != tag {
		*g = given{tag, s.fresh(src, dst)}
	}
	return g.id
}

// fresh draws the next identification.
func (s *IDs) fresh(src, dst *[16]byte) uint32 {
	count := &s.counters[mixAddrs(s.seed, src, dst)%uint64(len(s.counters))]
	*count++
	all := uint64(1 << 32)
	if binary.BigEndian.Uint64(dst[:]) == 0 { // IPv4-mapped: no other address of ::/64 is a host's
		all = 1 << 16
	}
	return uint32(*count%(all/s.engines)*s.engines + s.engine)
}

// mixAddrs hashes two addresses.
func mixAddrs(seed uint64, src, dst *[16]byte) uint64 {
	mix := fold(seed, binary.LittleEndian.Uint64(src[:]))
	mix = fold(mix, binary.LittleEndian.Uint64(src[8:]))
	mix = fold(mix, binary.LittleEndian.Uint64(dst[:]))
	return fold(mix, binary.LittleEndian.Uint64(dst[8:]))
}

package fragments

import (
	"fmt"
	"math/bits"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
)

// The bounds of a Table; the package documentation has the reasons.
const (
	Datagrams = 4096        // remembered at most
	Frames    = 512         // held at most, or fewer, as New is told
	Parts     = 128         // fragments of a datagram, known or held
	Wait      = time.Second // how long a datagram is remembered, counted from its first fragment to arrive
)

// A Key is what the fragments of a datagram have in common (RFC 791 section 3.2,
// RFC 8200 section 4.5).
type Key struct {
	Src, Dst [16]byte // IPv4 as IPv4-mapped IPv6 address
	ID       uint32
	Proto    uint8
}

// A state is how much is known of a datagram.
type state uint8

const (
	gone     state = iota // not in the index: nobody finds it any more
	headless              // the first fragment hasn't come
	known                 // the ports are known
	complete              // and every byte has come by
	broken                // two fragments contradict each other
)

// A datagram is what a Table remembers of one.
type datagram struct {
	key    Key
	serial uint32
	born   int64 // when the first of its fragments came
	state  state
	ports  uint32 // as packet.Info has them; valid if known or complete
	hash   uint32 // of the flow; likewise
	next   uint16 // in the index's chain
	held   list   // of packets
	pieces pieces
}

// A Table is one engine's, used on its thread only. New makes one.
type Table struct {
	engine uint32
	seed   uint64
	ring   []datagram // by serial number, modulo Datagrams
	oldest uint32     // serial number of the oldest datagram that is remembered
	newest uint32     // and one past that of the newest
	holder uint32     // no older datagram than this one holds packets
	index  []uint16   // by hash of the key: 1 + the place of a chain's first datagram
	packets
}

// New returns an empty Table for an engine, which holds up to so many frames, 1
// to Frames. seed keys its index: it should be random and secret.
func New(engineID, frames int, seed uint64) (*Table, error) {
	if engineID < 0 || engineID >= engine.MaxEngines {
		return nil, fmt.Errorf("fragments: new: engine %d, want 0 to %d", engineID, engine.MaxEngines-1)
	}
	if frames < 1 || frames > Frames {
		return nil, fmt.Errorf("fragments: new: %d frames, want 1 to %d", frames, Frames)
	}
	t := &Table{
		engine: uint32(engineID), seed: seed,
		ring: make([]datagram, Datagrams), index: make([]uint16, 2*Datagrams),
	}
	t.packets.init(frames)
	return t, nil
}

// Add takes note of a fragment, the packet p, and reports whether it goes on now:
// its ports and hash are then its flow's, and TagOf tells its datagram. Else p
// has got its Verdict: Hold, if the Table has the packet now; or Drop, and p may
// be another packet then, which the Table held until now.
//
// key and part are the fragment's. The ports, TCP flags and Hash of a first
// fragment are set by the caller.
func (t *Table) Add(now int64, key *Key, part packet.Part, p *engine.Packet) bool {
	first := part.Offset == 0
	d := t.find(key)
	if d != nil && first && d.state == complete {
		t.forget(d, packet.OK) // it holds nothing; this is another datagram, or a copy
		d = nil
	}
	if d == nil {
		d = t.remember(now, key)
	}
	why := d.pieces.add(part)
	if why == packet.FragmentOverlap || first && d.state >= known && d.ports != p.Ports() {
		d.state = broken
		t.letGo(d, packet.FragmentOverlap)
	}
	switch {
	case d.state == broken:
		refuse(p, packet.FragmentOverlap)
		return false
	case why != packet.OK:
		refuse(p, why)
		return false
	case first && d.state == headless:
		d.state, d.ports, d.hash = known, p.Ports(), p.Hash
		t.letGo(d, packet.OK)
	case d.state == headless:
		t.hold(d, p)
		return false
	}
	if d.pieces.complete() {
		d.state = complete
	}
	t.equip(d, p)
	return true
}

// refuse is the verdict of fragments that end here.
func refuse(p *engine.Packet, why packet.Reason) { p.Verdict, p.Reason = engine.Drop, why }

// equip gives a packet what is known of its datagram.
func (t *Table) equip(d *datagram, p *engine.Packet) {
	p.SrcPort, p.DstPort = uint16(d.ports>>16), uint16(d.ports)
	p.Flags |= packet.FlagPorts
	p.Hash = d.hash
	p.Scratch[tagWord] = uint32(t.tag(d))
}

// Expire forgets datagrams whose time is over, at most most of them.
func (t *Table) Expire(now int64, most int) {
	for ; t.oldest != t.newest && most > 0; most-- {
		d := t.at(t.oldest)
		if now-d.born < int64(Wait) {
			return
		}
		t.forget(d, packet.FragmentOrphan)
		t.oldest++
	}
}

func (t *Table) at(serial uint32) *datagram { return &t.ring[serial%Datagrams] }

// remember makes room for a datagram, in the place of the oldest if need be.
func (t *Table) remember(now int64, key *Key) *datagram {
	d := t.at(t.newest)
	if t.newest-t.oldest == Datagrams {
		t.forget(d, packet.FragmentTableFull)
		t.oldest++
	}
	chain := t.chain(key)
	d.key, d.serial, d.born, d.state, d.next = *key, t.newest, now, headless, *chain
	d.pieces.clear()
	*chain = uint16(t.newest%Datagrams) + 1
	t.newest++
	return d
}

// forget takes a datagram out of the index, and lets what it holds be dropped.
// Its place stays taken until it is the oldest.
func (t *Table) forget(d *datagram, why packet.Reason) {
	if d.state == gone {
		return
	}
	t.letGo(d, why)
	place := t.chain(&d.key)
	for &t.ring[*place-1] != d {
		place = &t.ring[*place-1].next
	}
	*place, d.state = d.next, gone
}

// find returns the datagram with this key, or nil.
func (t *Table) find(key *Key) *datagram {
	for place := *t.chain(key); place != 0; place = t.ring[place-1].next {
		if d := &t.ring[place-1]; d.key == *key {
			return d
		}
	}
	return nil
}

// chain returns the index's place for a key. Whoever doesn't know the seed can't
// make the chains long.
func (t *Table) chain(key *Key) *uint16 {
	mix := fold(mixAddrs(t.seed, &key.Src, &key.Dst), uint64(key.ID)<<8|uint64(key.Proto))
	return &t.index[mix%uint64(len(t.index))]
}

// fold mixes a word into a hash (wyhash's step).
func fold(mix, word uint64) uint64 {
	hi, lo := bits.Mul64(mix^0xa0761d6478bd642f, word^0xe7037ed1a0b428db)
	return hi ^ lo
}

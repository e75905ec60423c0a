package fragments

import (
	"slices"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"

	"pgregory.net/rapid"
)

// A slowTable is what a Table should do, in maps and without bounds.
type slowTable struct {
	datagrams map[Key]*slowDatagram
	ready     []slowPacket
}

type slowDatagram struct {
	born   int64
	parts  []packet.Part
	ports  uint32
	headed bool
	broken bool
	held   []uint32
}

// A slowPacket is a frame and what became of it.
type slowPacket struct {
	frame uint32
	ports uint32 // 0: held, or dropped
	why   packet.Reason
}

func newSlowTable() *slowTable { return &slowTable{datagrams: map[Key]*slowDatagram{}} }

// add is Add; its result says where the fragment goes, or why it doesn't.
func (t *slowTable) add(now int64, key Key, part packet.Part, ports, frame uint32) slowPacket {
	d := t.datagrams[key]
	if d == nil || part.Offset == 0 && d.headed && d.whole() && !d.broken {
		d = &slowDatagram{born: now}
		t.datagrams[key] = d
	}
	if d.contradicts(part) || part.Offset == 0 && d.headed && d.ports != ports {
		d.broken = true
		t.letGo(d, packet.FragmentOverlap)
	}
	if d.broken {
		return slowPacket{frame: frame, why: packet.FragmentOverlap}
	}
	if !slices.Contains(d.parts, part) {
		d.parts = append(d.parts, part)
	}
	if part.Offset == 0 && !d.headed {
		d.headed, d.ports = true, ports
		t.letGo(d, packet.OK)
	}
	if !d.headed {
		d.held = append(d.held, frame)
		return slowPacket{frame: frame}
	}
	return slowPacket{frame: frame, ports: d.ports}
}

// whole reports whether all bytes have come.
func (d *slowDatagram) whole() bool {
	have, size := map[uint16]bool{}, -1
	for _, p := range d.parts {
		for b := p.Offset; b < p.End; b++ {
			have[b] = true
		}
		if !p.More {
			size = int(p.End)
		}
	}
	return len(have) == size
}

// contradicts reports whether a fragment can't be of the same datagram as the
// others.
func (d *slowDatagram) contradicts(p packet.Part) bool {
	for _, q := range d.parts {
		apart := p.End <= q.Offset || q.End <= p.Offset
		switch {
		case p == q:
			continue
		case !apart, !p.More && !q.More, !p.More && q.End > p.End, !q.More && p.End > q.End:
			return true
		}
	}
	return false
}

func (t *slowTable) letGo(d *slowDatagram, why packet.Reason) {
	for _, frame := range d.held {
		p := slowPacket{frame: frame, why: why}
		if why == packet.OK {
			p.ports = d.ports
		}
		t.ready = append(t.ready, p)
	}
	d.held = nil
}

func (t *slowTable) expire(now int64) {
	var over []*slowDatagram
	for key, d := range t.datagrams {
		if now-d.born >= int64(Wait) {
			over = append(over, d)
			delete(t.datagrams, key)
		}
	}
	slices.SortFunc(over, func(a, b *slowDatagram) int { return int(a.born - b.born) })
	for _, d := range over {
		t.letGo(d, packet.FragmentOrphan)
	}
}

// outcome reads off a packet what became of it.
func outcome(p *engine.Packet, goes bool) slowPacket {
	o := slowPacket{frame: p.Frame, why: p.Reason}
	if goes {
		o.ports = p.Ports()
	}
	return o
}

// drawPart draws a fragment of a small datagram, so that they often fit each
// other, and often don't.
func drawPart(rt *rapid.T) packet.Part {
	from := 8 * rapid.Uint16Range(0, 5).Draw(rt, "from")
	size := 8 * rapid.Uint16Range(1, 3).Draw(rt, "size")
	more := from+size < 48 && rapid.IntRange(0, 9).Draw(rt, "more") > 0
	if !more {
		size -= rapid.Uint16Range(0, 7).Draw(rt, "short")
	}
	return packet.Part{Offset: from, End: from + size, More: more}
}

// A Table does what the slow one does, whatever comes.
func TestTableAgreesWithSlowTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fast, slow := newTable(t), newSlowTable()
		now, frame := int64(0), uint32(0)
		rt.Repeat(map[string]func(*rapid.T){
			"fragment": func(rt *rapid.T) {
				key := Key{ID: rapid.Uint32Range(1, 3).Draw(rt, "id"), Proto: packet.ProtoUDP}
				part := drawPart(rt)
				part.ID = key.ID
				ports := uint32(0)
				if part.Offset == 0 {
					ports = 1<<16 | rapid.Uint32Range(2, 3).Draw(rt, "port")
				}
				now++
				frame++
				p := fragment(frame, ports)
				goes := fast.Add(now, &key, part, p)
				want := slow.add(now, key, part, ports, frame)
				if got := outcome(p, goes); got != want || !goes && (p.Verdict == engine.Hold) != (want.why == packet.OK) {
					rt.Fatalf("%+v: %+v, verdict %d, want %+v", part, got, p.Verdict, want)
				}
			},
			"time": func(rt *rapid.T) {
				now += int64(rapid.IntRange(0, 1500).Draw(rt, "ms")) * int64(time.Millisecond)
				fast.Expire(now, Datagrams)
				slow.expire(now)
			},
			"": func(rt *rapid.T) {
				held := 0
				for _, d := range slow.datagrams {
					held += len(d.held)
				}
				if fast.Held() != held+len(slow.ready) {
					rt.Fatalf("%d held, want %d and %d ready", fast.Held(), held, len(slow.ready))
				}
				out := make([]engine.Packet, rapid.IntRange(0, 8).Draw(rt, "room"))
				for i := range fast.Release(out) {
					if got := outcome(&out[i], out[i].Reason == packet.OK); got != slow.ready[0] {
						rt.Fatalf("released %+v, want %+v", got, slow.ready[0])
					}
					slow.ready = slow.ready[1:]
				}
			},
		})
	})
}

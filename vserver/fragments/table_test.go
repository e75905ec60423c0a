package fragments

import (
	"math/rand/v2"
	"testing"

	"appliance/engine"
	"appliance/engine/packet"

	"pgregory.net/rapid"
)

func newTable(t testing.TB) *Table {
	t.Helper()
	table, err := New(3, Frames, 42)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// fragment returns a packet; ports are those of a first fragment, else 0.
func fragment(frame, ports uint32) *engine.Packet {
	p := &engine.Packet{Segment: engine.Segment{Frame: frame}}
	p.Flags = packet.FlagFragment
	if ports != 0 {
		p.SrcPort, p.DstPort, p.Hash = uint16(ports>>16), uint16(ports), ports*7
		p.Flags |= packet.FlagPorts
	}
	return p
}

// key returns one of many keys.
func key(n int) *Key { return &Key{ID: uint32(n), Src: [16]byte{15: 1}, Proto: packet.ProtoUDP} }

const (
	ports = 4000<<16 | 53
	unit  = 8
)

// part returns the i-th fragment of a datagram of many, of one unit each.
func part(i int) packet.Part {
	return packet.Part{Offset: uint16(unit * i), End: uint16(unit * (i + 1)), More: true}
}

// remembered returns how many places of the ring are taken.
func (t *Table) remembered() int { return int(t.newest - t.oldest) }

// drain returns what is ready.
func (t *Table) drain() (all []engine.Packet) {
	out := make([]engine.Packet, 7)
	for n := t.Release(out); n > 0; n = t.Release(out) {
		all = append(all, out[:n]...)
	}
	return all
}

// What goes on has the first fragment's ports and hash, and one tag.
func TestHeldFragmentsAreEquipped(t *testing.T) {
	table := newTable(t)
	for i := 5; i > 0; i-- {
		if p := fragment(uint32(i), 0); table.Add(0, key(1), part(i), p) || p.Verdict != engine.Hold {
			t.Fatalf("fragment %d goes on without its ports, or isn't held", i)
		}
	}
	first := fragment(0, ports)
	if !table.Add(0, key(1), part(0), first) {
		t.Fatal("the first fragment doesn't go on")
	}
	all := table.drain()
	if len(all) != 5 || table.Held() != 0 {
		t.Fatalf("%d of 5 released, %d held", len(all), table.Held())
	}
	late := fragment(6, 0)
	if !table.Add(0, key(1), part(6), late) {
		t.Fatal("a fragment behind the first doesn't go on")
	}
	for _, p := range append(all, *late) {
		if p.Ports() != ports || p.Hash != first.Hash || TagOf(&p) != TagOf(first) || p.Verdict != engine.Drop || p.Flags&packet.FlagPorts == 0 {
			t.Errorf("%+v, want ports, hash and tag of %+v", p, first)
		}
	}
}

// The newest datagrams are remembered, and the oldest gives way.
func TestNewDatagramsReplaceTheOldest(t *testing.T) {
	table := newTable(t)
	for i := range Datagrams + 1 {
		p := fragment(uint32(i), ports)
		if i%2 == 0 {
			p = fragment(uint32(i), 0)
			table.Add(0, key(i), part(1), p)
			continue
		}
		table.Add(0, key(i), part(0), p)
	}
	if n := table.remembered(); n != Datagrams {
		t.Fatalf("%d datagrams, want %d", n, Datagrams)
	}
	if table.find(key(0)) != nil || table.find(key(1)) == nil || table.find(key(Datagrams)) == nil {
		t.Error("not the oldest datagram has given way")
	}
	table.Expire(int64(Wait), Datagrams/2)
	if n := table.remembered(); n != Datagrams/2 {
		t.Errorf("%d datagrams after half were to expire", n)
	}
	table.Expire(int64(Wait), Datagrams)
	if n := table.remembered(); n != 0 {
		t.Errorf("%d datagrams after all have expired", n)
	}
	for i, head := range table.index {
		if head != 0 {
			t.Fatalf("chain %d isn't empty", i)
		}
	}
}

// With no room left, the fragment that has waited longest gives way.
func TestOldestHeldFragmentGivesWay(t *testing.T) {
	table := newTable(t)
	for i := range Frames {
		table.Add(0, key(i/2), part(1+i%2), fragment(uint32(i), 0))
	}
	for i := range uint32(Frames) {
		p := fragment(Frames+i, 0)
		if table.Add(0, key(Frames+int(i)), part(1), p); p.Verdict != engine.Drop || p.Reason != packet.FragmentTableFull || p.Frame != i {
			t.Fatalf("frame %d gave way, verdict %d, %v; want frame %d", p.Frame, p.Verdict, p.Reason, i)
		}
		if table.Held() != Frames {
			t.Fatalf("%d held", table.Held())
		}
	}
	table.Expire(int64(Wait), Datagrams)
	for _, p := range table.drain() {
		if p.Frame < Frames || p.Reason != packet.FragmentOrphan {
			t.Fatalf("frame %d was held to the end: %v", p.Frame, p.Reason)
		}
	}
	if table.Held() != 0 {
		t.Errorf("%d held", table.Held())
	}
}

// One datagram has no more than its part of the room, and what is ready but not
// released can't give way.
func TestOneDatagramsPart(t *testing.T) {
	table := newTable(t)
	for i := range Parts + 1 {
		p := fragment(uint32(i), 0)
		table.Add(0, key(1), part(1+i), p)
		if full := p.Verdict == engine.Drop && p.Reason == packet.FragmentTableFull; full != (i == Parts) {
			t.Fatalf("fragment %d: verdict %d, %v", i, p.Verdict, p.Reason)
		}
	}
	for i := range Frames - Parts {
		table.Add(0, key(1), part(1), fragment(uint32(i), 0)) // the same over and over
	}
	for i := range Frames {
		p := fragment(uint32(Frames+i), 0)
		table.Add(0, key(1), part(1), p)
		if p.Verdict != engine.Drop || p.Frame != uint32(Frames+i) {
			t.Fatalf("a datagram's fragment gives way to another of its own: frame %d", p.Frame)
		}
	}
	table.Expire(int64(Wait), Datagrams)
	p := fragment(1, 0)
	if table.Add(int64(Wait), key(2), part(1), p); p.Verdict != engine.Drop || p.Reason != packet.FragmentTableFull {
		t.Errorf("verdict %d, %v, want no room", p.Verdict, p.Reason)
	}
}

// Whatever comes, every frame that goes in comes out once.
func TestFramesAreConserved(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		table := newTable(t)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		inside := map[uint32]bool{}
		leave := func(frame uint32) {
			if !inside[frame] {
				rt.Fatalf("frame %d came out twice, or was never in", frame)
			}
			delete(inside, frame)
		}
		for i := range uint32(4 * Frames) {
			inside[i] = true
			n := 0
			if r.IntN(4) == 0 {
				n = ports
			}
			p := fragment(i, uint32(n))
			at := part(1 + r.IntN(200))
			if n != 0 {
				at = part(0)
			}
			if table.Add(int64(i)*int64(Wait)/(3*Frames), key(r.IntN(300)), at, p) || p.Verdict == engine.Drop {
				leave(p.Frame)
			}
			if r.IntN(3) == 0 {
				table.Expire(int64(i)*int64(Wait)/(3*Frames), 10)
				for _, p := range table.drain() {
					leave(p.Frame)
				}
			}
			if table.Held() != len(inside) {
				rt.Fatalf("%d held, want %d", table.Held(), len(inside))
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	table := newTable(t)
	ids, err := NewIDs(0, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	now, n := int64(0), 0
	p, out := fragment(0, 0), make([]engine.Packet, 64)
	k := key(0)
	if got := testing.AllocsPerRun(3*Datagrams, func() {
		now += int64(Wait) / 1000
		n++
		k.ID = uint32(n % 7000)
		*p = engine.Packet{}
		if table.Add(now, k, part(n%5), p) {
			ids.ID(TagOf(p), &k.Src, &k.Dst)
		}
		table.Expire(now, 2)
		table.Release(out)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestWrongConfigurations(t *testing.T) {
	for _, id := range []int{-1, engine.MaxEngines} {
		if _, err := New(id, Frames, 0); err == nil {
			t.Errorf("a table for engine %d", id)
		}
	}
	for _, frames := range []int{0, Frames + 1} {
		if _, err := New(0, frames, 0); err == nil {
			t.Errorf("a table for %d frames", frames)
		}
	}
	for _, c := range [][2]int{{0, 0}, {-1, 2}, {2, 2}, {0, engine.MaxEngines + 1}} {
		if _, err := NewIDs(c[0], c[1], 0); err == nil {
			t.Errorf("ids for engine %d of %d", c[0], c[1])
		}
	}
}

// What contradicts what is known ends the datagram, and a copy doesn't.
func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		name string
		then packet.Part
		want packet.Reason
	}{
		{"copy", packet.Part{Offset: 8, End: 16, More: true}, packet.OK},
		{"copy of the last", packet.Part{Offset: 24, End: 32}, packet.OK},
		{"gap", packet.Part{Offset: 16, End: 24, More: true}, packet.OK},
		{"shorter copy", packet.Part{Offset: 8, End: 12}, packet.FragmentOverlap},
		{"longer copy", packet.Part{Offset: 8, End: 24, More: true}, packet.FragmentOverlap},
		{"copy that is the last", packet.Part{Offset: 8, End: 16}, packet.FragmentOverlap},
		{"copy of the last that isn't", packet.Part{Offset: 24, End: 32, More: true}, packet.FragmentOverlap},
		{"over the first's end", packet.Part{Offset: 0, End: 16, More: true}, packet.FragmentOverlap},
		{"up to the end, not the last", packet.Part{Offset: 16, End: 32, More: true}, packet.FragmentOverlap},
		{"another last", packet.Part{Offset: 16, End: 24}, packet.FragmentOverlap},
		{"behind the end", packet.Part{Offset: 32, End: 40, More: true}, packet.FragmentOverlap},
	} {
		var s pieces
		for _, p := range []packet.Part{{Offset: 24, End: 32}, {Offset: 0, End: 8, More: true}, {Offset: 8, End: 16, More: true}} {
			if why := s.add(p); why != packet.OK {
				t.Fatalf("%+v: %v", p, why)
			}
		}
		if got := s.add(c.then); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A datagram is found by its whole key: others in its chain aren't it.
func TestWholeKey(t *testing.T) {
	table := newTable(t)
	one := *key(1)
	table.Add(0, &one, part(0), fragment(0, ports))
	other, same := one, 0
	for n := range 1 << 18 {
		other.Src[0], other.Src[1], other.Src[2] = byte(n), byte(n>>8), byte(n>>16)+1
		if table.chain(&other) == table.chain(&one) {
			same++
			if table.find(&other) != nil {
				t.Fatalf("%+v taken for %+v", other, one)
			}
		}
	}
	if same == 0 {
		t.Error("no two keys in one chain: nothing was tested")
	}
}

// The search for the oldest begins anew when what it had come to has expired.
func TestOldestHeldFragmentAfterExpiry(t *testing.T) {
	table := newTable(t)
	next := 0
	add := func(now int64) *engine.Packet {
		p := fragment(uint32(next), 0)
		table.Add(now, key(next), part(1), p)
		next++
		return p
	}
	for range Frames + 1 {
		add(0)
	}
	table.Expire(int64(Wait), Datagrams)
	table.drain()
	for ; next < Datagrams-100; next++ { // so that what is held lies where the search ended
		table.Add(int64(Wait), key(next), part(0), fragment(0, ports))
	}
	oldest := next
	for range Frames {
		add(int64(Wait))
	}
	for i := range 10 {
		if p := add(int64(Wait)); p.Frame != uint32(oldest+i) {
			t.Fatalf("frame %d gave way, want %d", p.Frame, oldest+i)
		}
	}
}

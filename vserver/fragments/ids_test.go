package fragments

import (
	"testing"
)

// addr4 and addr6 return addresses of either family.
func addr4(n byte) *[16]byte { return &[16]byte{10: 0xff, 11: 0xff, 12: 10, 15: n} }
func addr6(n byte) *[16]byte { return &[16]byte{0: 0xfd, 15: n} }

// tagOf returns the tag of the n-th datagram of an engine.
func tagOf(engine, n uint32) Tag { return Tag(tagMark | engine<<serialBits | n) }

func newIDs(t testing.TB, engine, engines int) *IDs {
	t.Helper()
	ids, err := NewIDs(engine, engines, 42)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// A datagram keeps its identification, and no two toward the same address from
// the same engines have the same as long as there are others.
func TestIDsAreFresh(t *testing.T) {
	const engines = 3
	for name, ends := range map[string][2]*[16]byte{"IPv4": {addr4(1), addr4(2)}, "IPv6": {addr6(1), addr6(2)}} {
		seen := map[uint32]bool{}
		for e := range engines {
			ids := newIDs(t, e, engines)
			for n := range uint32(1<<16/engines - 1) {
				tag := tagOf(n%engines, n/engines)
				id := ids.ID(tag, ends[0], ends[1])
				if seen[id] {
					t.Fatalf("%s: engine %d gives %d twice", name, e, id)
				}
				seen[id] = true
				if again := ids.ID(tag, ends[0], ends[1]); again != id {
					t.Fatalf("%s: the datagram's id was %d, now %d", name, id, again)
				}
				if name == "IPv4" && id > 0xffff {
					t.Fatalf("id %d for IPv4", id)
				}
			}
		}
	}
}

// Datagrams of all engines that are remembered at the same time keep theirs, and
// a place's next datagram gets another.
func TestIDsOfManyDatagrams(t *testing.T) {
	const engines = 4
	ids := newIDs(t, 1, engines)
	given := map[Tag]uint32{}
	for round := range uint32(2) {
		for e := range uint32(engines) {
			for n := range uint32(Datagrams) {
				tag := tagOf(e, round*Datagrams+n)
				given[tag] = ids.ID(tag, addr6(1), addr6(byte(n)))
			}
		}
		for e := range uint32(engines) {
			for n := range uint32(Datagrams) {
				tag := tagOf(e, round*Datagrams+n)
				if id := ids.ID(tag, addr6(1), addr6(byte(n))); id != given[tag] {
					t.Fatalf("datagram %#x had id %d, now %d", tag, given[tag], id)
				}
			}
		}
	}
	if a, b := given[tagOf(1, 0)], given[tagOf(1, Datagrams)]; a == b {
		t.Errorf("two datagrams have id %d", a)
	}
}

// A table's tags tell its datagrams from those of other engines.
func TestTags(t *testing.T) {
	seen := map[Tag]bool{}
	for _, e := range []int{0, 63} {
		table, err := New(e, Frames, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range Datagrams {
			p := fragment(0, ports)
			table.Add(0, key(i), part(0), p)
			if tag := TagOf(p); seen[tag] || tag == 0 {
				t.Fatalf("tag %#x twice, or none", tag)
			}
			seen[TagOf(p)] = true
		}
	}
}

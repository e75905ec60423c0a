package flows

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"appliance/engine/packet"
	"appliance/rss"
)

// segment returns a TCP header followed by payload bytes.
func segment(flags uint8, seq, ack uint32, payload int) []byte {
	b := make([]byte, 20+payload)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = 5<<4, flags
	return b
}

// ipv4 returns an IPv4 address as IPv4-mapped address.
func ipv4(a, b, c, d byte) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d}
}

// testHasher returns a Hasher under a key that is not degenerate.
func testHasher(t rapid.TB) *rss.Hasher {
	key, err := rss.DeriveKey([]byte("a secret for tests only"), "flows", 1)
	if err != nil {
		t.Fatal(err)
	}
	return rss.NewHasher(key)
}

// testRoster has one service and 16 backends, all of generation 0.
var testRoster = func() *Roster {
	r := &Roster{Services: make([]uint8, 1), Peers: make([]Peer, 16)}
	for i := range r.Peers {
		r.Peers[i].Addr = ipv4(10, 0, 0, byte(i))
	}
	return r
}()

// newTable returns a Table for flows of testRoster.
func newTable(t testing.TB, capacity int) *Table {
	table, err := New(Config{Capacity: capacity, Seed: 0x0123456789abcdef})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	table.Begin(0, testRoster)
	return table
}

// testFlow returns the i-th of a series of TCP flows in nat whose keys differ.
func testFlow(rng *rand.Rand, i int) Record {
	return Record{
		ForwardKey: ForwardKey{
			Client:     ipv4(100, byte(i>>16), byte(i>>8), byte(i)),
			ClientPort: uint16(rng.Uint32N(1<<16-1024) + 1024), ServicePort: 80,
		},
		Backend: MakeRef(uint32(i%len(testRoster.Peers)), 0), BackendPort: 8080,
		SNIPPort: uint16(rng.Uint32N(1<<16-1024) + 1024), SNIP: uint16(i >> 12),
		Hash: rng.Uint32(), ReturnHash: rng.Uint32(), Proto: packet.ProtoTCP,
	}
}

// establish puts a record into a state that never gives way.
func establish(r *Record, deadline uint32) { r.State, r.Deadline = Established, deadline }

package flows

import (
	"errors"
	"slices"
	"testing"

	"appliance/engine/packet"
	"appliance/rss"
)

// The paths of these tests.
var (
	path4 = Path{Backend: ipv4(10, 0, 0, 1), Address: ipv4(10, 9, 9, 9), BackendPort: 8080, SNIP: 3, Proto: packet.ProtoTCP}
	path6 = Path{
		Backend: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}, Address: [16]byte{0x20, 1, 0xd, 0xb8, 15: 99},
		BackendPort: 8080, SNIP: 3, Proto: packet.ProtoTCP,
	}
)

// portTable returns a Table whose only backend is that of path, and Ports.
func portTable(t *testing.T, path *Path, buckets int) (*Table, *Ports) {
	ports, err := NewPorts(testHasher(t), buckets)
	if err != nil {
		t.Fatal(err)
	}
	table := newTable(t, 1000)
	table.Begin(0, &Roster{Services: make([]uint8, 1), Peers: []Peer{{Addr: path.Backend}}})
	return table, ports
}

// open opens a flow whose client packets are in the bucket of hash; nil if no
// port is left.
func open(t *testing.T, table *Table, ports *Ports, path *Path, hash uint32) *Record {
	hash ^= uint32(table.Stats().Flows) << 14 // equal hashes would fill the index; MaxBuckets is 1 << 14
	port, returnHash, err := table.PickPort(ports, path, hash, true)
	if errors.Is(err, ErrNoPort) {
		return nil
	}
	r, err := table.Insert(&Record{
		ForwardKey: ForwardKey{ClientPort: port}, Hash: hash, ReturnHash: returnHash,
		BackendPort: path.BackendPort, SNIP: path.SNIP, SNIPPort: port, Proto: path.Proto,
	})
	if err != nil {
		t.Fatal(err)
	}
	establish(r, table.now+10_000)
	return r
}

// TestPortCapacity asserts that for each SNIP, backend and bucket PickPort uses
// every port from 1024 on that leads into the bucket, and no other: 64,512 in
// all buckets together.
func TestPortCapacity(t *testing.T) {
	for _, path := range []*Path{&path4, &path6} {
		for _, buckets := range []int{rss.MinBuckets, 4096, rss.MaxBuckets} {
			table, ports := portTable(t, path, buckets)
			byBucket := make([][]uint16, buckets)
			for port := 1024; port < 1<<16; port++ {
				b := path.hash(ports.hasher, uint16(port)) & uint32(buckets-1)
				byBucket[b] = append(byBucket[b], uint16(port))
			}
			for _, bucket := range []int{0, 1, buckets / 2, buckets - 1} {
				want := byBucket[bucket]
				var got []uint16
				hash := uint32(bucket)
				for r := open(t, table, ports, path, hash); r != nil; r = open(t, table, ports, path, hash) {
					got = append(got, r.SNIPPort)
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("bucket %d of %d: used ports %v, want %v", bucket, buckets, got, want)
				}
			}
		}
	}
}

// TestPortsRest plays one bucket's ports through: closed ports rest for 60 s
// while others are free, then the one that closed first goes first, and a port
// in use never goes.
func TestPortsRest(t *testing.T) {
	table, ports := portTable(t, &path4, 4096)
	roster := table.roster
	const hash = 0xabcd1234
	var all []*Record
	for r := open(t, table, ports, &path4, hash); r != nil; r = open(t, table, ports, &path4, hash) {
		all = append(all, r)
	}
	// All but the first two close, one a second, the last of them first.
	var order []uint16
	for i := len(all) - 1; i >= 2; i-- {
		table.Begin(table.now+TicksPerSecond, roster)
		all[i].State, all[i].Deadline = Closing, table.now+Rest
		order = append(order, all[i].SNIPPort)
	}
	// One of them is retired: it rests all the same.
	table.Retire(all[3])
	// One that was in use ends without a close: its port is free, so it goes first.
	free := all[1].SNIPPort
	table.Remove(all[1])
	for _, want := range append([]uint16{free}, order...) {
		r := open(t, table, ports, &path4, hash)
		if r == nil || r.SNIPPort != want {
			t.Fatalf("got %+v, want port %d", r, want)
		}
	}
	if r := open(t, table, ports, &path4, hash); r != nil {
		t.Fatalf("port %d given away while in use", r.SNIPPort)
	}
}

// TestRestEnds asserts that a retired flow gives its port back after Rest, and
// not before.
func TestRestEnds(t *testing.T) {
	table, ports := portTable(t, &path4, 4096)
	r := open(t, table, ports, &path4, 1)
	key := ReturnKey{path4.Backend, path4.BackendPort, r.SNIPPort, path4.SNIP, path4.Proto}
	hash := r.ReturnHash
	table.Retire(r)
	if table.Return(0, hash, &key) != nil {
		t.Error("a return packet found a retired flow")
	}
	table.Begin(Rest-1, table.roster)
	if table.occupant(hash, &key) == nil {
		t.Error("port free before its rest ended")
	}
	table.Begin(Rest, table.roster)
	if table.occupant(hash, &key) != nil {
		t.Error("port still held after its rest")
	}
}

// TestPortsAreSpread asserts that the search does not begin at the same port
// every time: each is picked about equally often, in a bucket where none has to
// be skipped.
func TestPortsAreSpread(t *testing.T) {
	table, ports := portTable(t, &path4, 4096)
	hash := uint32(0)
	for len(slowPorts(ports.hasher, 4096, &path4, hash)) < ports.v4.Len() {
		hash++
	}
	counts := map[uint16]int{}
	const picks = 16_000
	for range picks {
		port, _, err := table.PickPort(ports, &path4, hash, true)
		if err != nil {
			t.Fatal(err)
		}
		counts[port]++
	}
	for port, n := range counts {
		if mean := picks / len(counts); n < mean*8/10 || n > mean*12/10 {
			t.Errorf("port %d picked %d times of %d, want about %d", port, n, picks, mean)
		}
	}
}

func TestNewPortsRefuses(t *testing.T) {
	for _, buckets := range []int{0, 1000, 1 << 20} {
		if _, err := NewPorts(testHasher(t), buckets); err == nil {
			t.Errorf("%d buckets: no error", buckets)
		}
	}
	if _, err := NewPorts(rss.NewHasher(rss.Key{}), 4096); !errors.Is(err, rss.ErrDegenerate) {
		t.Errorf("a key of zeroes: %v, want ErrDegenerate", err)
	}
}

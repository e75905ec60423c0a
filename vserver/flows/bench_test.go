package flows

import (
	"math/rand/v2"
	"testing"
	"time"

	"appliance/engine/packet"
)

const (
	benchBatch  = 64      // packets that one stage works on before the next begins
	benchFrames = 1 << 17 // 8 MiB of headers: like received frames, they come from beyond the L2 cache
)

// A header stands in for a received frame: a cache line to read the key from.
type header struct {
	hash uint32
	key  ForwardKey
	_    [36]byte
}

// fill puts n flows in use into a table for n, and returns frames of random
// ones among them.
func fill(b *testing.B, n int) (*Table, []header) {
	t := newTable(b, n)
	rng := rand.New(rand.NewPCG(1, 2))
	all := make([]header, n)
	for i := range all {
		flow := testFlow(rng, i)
		r, err := t.Insert(&flow)
		if err != nil {
			b.Fatal(err)
		}
		establish(r, 1<<30)
		all[i] = header{hash: flow.Hash, key: flow.ForwardKey}
	}
	frames := make([]header, benchFrames)
	for i := range frames {
		frames[i] = all[rng.IntN(n)]
	}
	return t, frames
}

// perPacket reports the time a packet took.
func perPacket(b *testing.B, packets int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
}

func benchmarkForward(b *testing.B, n int) {
	t, frames := fill(b, n)
	l4 := segment(packet.TCPAck, 1, 1, 0)
	var hints [benchBatch]Hint
	at, found := 0, 0
	for b.Loop() {
		batch := frames[at : at+benchBatch]
		for i := range batch {
			t.Touch(batch[i].hash)
		}
		for i := range batch {
			hints[i] = t.Probe(batch[i].hash)
		}
		for i := range batch {
			if r := t.Forward(hints[i], batch[i].hash, &batch[i].key); r != nil {
				r.Track(t.now, &DefaultTimeouts, Client, l4)
				found++
			}
		}
		at = (at + benchBatch) % benchFrames
	}
	if found != b.N*benchBatch {
		b.Fatalf("found %d of %d", found, b.N*benchBatch)
	}
	perPacket(b, found)
}

// BenchmarkForward looks up and tracks packets of clients.
func BenchmarkForward10k(b *testing.B) { benchmarkForward(b, 10_000) }
func BenchmarkForward1M(b *testing.B)  { benchmarkForward(b, 1<<20) }

var sink uint32

func benchmarkCacheLine(b *testing.B, n int) {
	t := newTable(b, n)
	frames, records := make([]header, benchFrames), make([]uint32, benchFrames)
	for i := range records {
		records[i] = rand.Uint32N(uint32(n))
	}
	at := 0
	for b.Loop() {
		batch := frames[at : at+benchBatch]
		for i := range batch {
			sink += batch[i].hash + t.records[records[at+i]].Hash
		}
		at = (at + benchBatch) % benchFrames
	}
	perPacket(b, b.N*benchBatch)
}

// BenchmarkCacheLine is what the memory alone costs: it reads the header and a
// random line of as many records.
func BenchmarkCacheLine10k(b *testing.B) { benchmarkCacheLine(b, 10_000) }
func BenchmarkCacheLine1M(b *testing.B)  { benchmarkCacheLine(b, 1<<20) }

// BenchmarkInsertExpire opens flows in nat as a handler does (a look-up that
// finds nothing, a source port, a record, a first packet) while the sweep frees
// those that expire. A flow lives for 4 s, so that 1/4 of the 1 Mi records and
// 1/4 of the ports are in use.
func BenchmarkInsertExpire(b *testing.B) {
	const capacity, alive, life = 1 << 20, 1 << 18, 4 * TicksPerSecond
	t := newTable(b, capacity)
	ports, err := NewPorts(testHasher(b), 4096)
	if err != nil {
		b.Fatal(err)
	}
	timeouts := DefaultTimeouts
	timeouts.Handshake = life
	rng := rand.New(rand.NewPCG(1, 2))
	flow := testFlow(rng, 0)
	path := Path{Address: ipv4(10, 9, 9, 9), BackendPort: flow.BackendPort, Proto: flow.Proto}
	opened, batches := 0, 0
	var hashes [benchBatch]uint32
	for b.Loop() {
		// At the speed of alive flows in life ticks.
		t.Begin(uint32(batches*benchBatch*life/alive), testRoster)
		batches++
		for i := range hashes {
			hashes[i] = rng.Uint32()
			t.Touch(hashes[i])
		}
		for i, hash := range hashes {
			flow.Hash = hash
			flow.Client[12], flow.ClientPort = byte(i), uint16(hash)|1
			flow.Backend = MakeRef(uint32(i%len(testRoster.Peers)), 0)
			path.Backend = testRoster.Peers[flow.Backend.Slot()].Addr
			if t.Forward(t.Probe(hash), hash, &flow.ForwardKey) != nil {
				continue
			}
			if flow.SNIPPort, flow.ReturnHash, err = t.PickPort(ports, &path, hash, true); err != nil {
				continue
			}
			if r, err := t.Insert(&flow); err == nil {
				r.Track(t.now, &timeouts, Client, segment1)
				opened++
			}
		}
		t.Sweep(4 * benchBatch)
	}
	if opened < b.N*benchBatch*99/100 {
		b.Fatalf("opened %d of %d", opened, b.N*benchBatch)
	}
	b.ReportMetric(float64(opened)/b.Elapsed().Seconds(), "flows/s")
	perPacket(b, opened)
}

// BenchmarkSweep looks at records that stay.
func BenchmarkSweep(b *testing.B) {
	t, _ := fill(b, 1<<20)
	start, n := time.Now(), 0
	for b.Loop() {
		t.Sweep(4096)
		n += 4096
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "ns/record")
}

// benchmarkInsertFull measures an Insert into a full table of 1 Mi flows, all of
// them in one state.
func benchmarkInsertFull(b *testing.B, state State) {
	t, _ := fill(b, 1<<20)
	for i := range t.records[1:] {
		t.records[1+i].State = state
	}
	rng := rand.New(rand.NewPCG(3, 4))
	flow := testFlow(rng, 1<<20)
	for b.Loop() {
		flow.Hash, flow.ReturnHash = rng.Uint32(), rng.Uint32()
		if r, err := t.Insert(&flow); err == nil {
			establish(r, 1<<30)
			r.State = state
		}
	}
}

// BenchmarkInsertFull is what a SYN costs under a flood of them: all are half
// open, and one gives way.
func BenchmarkInsertFull(b *testing.B) { benchmarkInsertFull(b, SynSent) }

// BenchmarkInsertRefused is what it costs when all flows are in use, and none
// does.
func BenchmarkInsertRefused(b *testing.B) { benchmarkInsertFull(b, Established) }

// BenchmarkPickPortFull is what a SYN costs in nat under a flood of them: all
// source ports toward the backends are those of half-open flows, and one gives
// way.
func BenchmarkPickPortFull(b *testing.B) {
	t := newTable(b, 1<<20)
	ports, err := NewPorts(testHasher(b), 4096)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	flow := testFlow(rng, 0)
	path := Path{Address: ipv4(10, 9, 9, 9), BackendPort: flow.BackendPort, Proto: flow.Proto}
	open := func(i int) {
		flow.Hash = rng.Uint32()
		flow.Client[12], flow.ClientPort = byte(i), uint16(flow.Hash)|1
		flow.Backend = MakeRef(uint32(i%4), 0)
		path.Backend = testRoster.Peers[i%4].Addr
		port, returnHash, err := t.PickPort(ports, &path, flow.Hash, true)
		if err != nil {
			b.Fatal(err)
		}
		flow.SNIPPort, flow.ReturnHash, flow.SNIP = port, returnHash, path.SNIP
		r, err := t.Insert(&flow)
		if err != nil {
			b.Fatal(err)
		}
		establish(r, uint32(1<<20+i/1024))
		r.State = SynSent
	}
	for i := range 4 * 64512 * 2 {
		open(i)
	}
	evicted, i := t.evicted, 0
	for b.Loop() {
		open(i)
		i++
	}
	if share := float64(t.evicted-evicted) / float64(i); share < 0.99 {
		b.Errorf("only %.2f of them made another flow give way", share)
	}
}

package flows

import (
	"flag"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"appliance/engine/packet"
	"appliance/rss"
)

// machineBuckets leaves four ports to a bucket, so that they soon run out.
const machineBuckets = rss.MaxBuckets

// A machine runs a Table and its slow twin side by side. Everything is drawn
// from small sets, so that keys, hashes, ports and records collide all the time.
type machine struct {
	table  *Table
	slow   slowTable
	ports  *Ports
	roster *Roster
	now    uint32
	paths  map[portsKey][]uint16 // what slowPorts returned
	tuples []tuple               // return tuples of late flows, past ones among them
}

// A tuple is what a return packet is looked up by.
type tuple struct {
	key  ReturnKey
	hash uint32
}

// A portsKey is what the ports of a bucket depend on.
type portsKey struct {
	path Path
	hash uint32
}

// timeouts of the machine are such that all are used within a few steps.
var machineTimeouts = Timeouts{
	Handshake: 3 * TicksPerSecond, Established: 100 * TicksPerSecond, HalfClosed: 20 * TicksPerSecond,
	Unreplied: 3 * TicksPerSecond, Replied: 10 * TicksPerSecond,
}

func newMachine(t *rapid.T) *machine {
	capacity := rapid.IntRange(1, 30).Draw(t, "capacity")
	m := &machine{paths: map[portsKey][]uint16{}, now: rapid.SampledFrom([]uint32{0, 1<<32 - 50}).Draw(t, "now")}
	m.slow = slowTable{flows: map[*Record]Record{}, reported: map[*Record]bool{}}
	var err error
	if m.ports, err = NewPorts(testHasher(t), machineBuckets); err != nil {
		t.Fatal(err)
	}
	m.table, err = New(Config{Capacity: capacity, Seed: rapid.Uint64().Draw(t, "seed"), Removed: func(r *Record) {
		if !m.slow.reported[r] {
			t.Fatalf("reported as removed, but not inserted since: %+v", *r)
		}
		delete(m.slow.reported, r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	m.begin(&Roster{
		Services: make([]uint8, 2),
		Peers:    []Peer{{Addr: ipv4(10, 0, 0, 1)}, {Addr: ipv4(10, 0, 0, 2)}, {Addr: ipv4(10, 0, 0, 1)}},
	})
	return m
}

func (m *machine) begin(roster *Roster) {
	m.roster = roster
	m.table.Begin(m.now, roster)
	m.slow.begin(m.now, roster)
}

func (m *machine) drawKey(t *rapid.T) ForwardKey {
	slot := rapid.Uint32Range(0, 1).Draw(t, "service")
	return ForwardKey{
		Client:      ipv4(192, 0, 2, rapid.ByteRange(0, 3).Draw(t, "client")),
		ClientPort:  rapid.Uint16Range(1, 9).Draw(t, "client port"),
		ServicePort: 80,
		Service:     MakeRef(slot, m.roster.Services[slot]),
	}
}

// hash gives all keys one of two hashes.
func (*machine) hash(k ForwardKey) uint32 { return uint32(k.ClientPort) % 2 << 20 }

// drawHint draws a hint: the right one, none, or any.
func (m *machine) drawHint(t *rapid.T, hash uint32) Hint {
	switch rapid.IntRange(0, 2).Draw(t, "hint") {
	case 0:
		m.table.Touch(hash)
		return m.table.Probe(hash)
	case 1:
		return 0
	}
	return Hint(rapid.IntRange(0, m.table.Stats().Capacity).Draw(t, "wrong hint"))
}

// drawFlow draws one of the flows that packets can find; nil if there is none.
func (m *machine) drawFlow(t *rapid.T) *Record {
	var all []*Record
	for p, r := range m.slow.flows {
		if r.State != Resting {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *Record) int { return int(m.table.number(a)) - int(m.table.number(b)) })
	return rapid.SampledFrom(all).Draw(t, "flow")
}

// open is what a handler does for a packet of a client: look up, and insert if
// there is nothing.
func (m *machine) open(t *rapid.T) {
	key := m.drawKey(t)
	hash := m.hash(key)
	got, want := m.table.Forward(m.drawHint(t, hash), hash, &key), m.slow.forward(key)
	if got != want {
		t.Fatalf("Forward(%+v) = %p, want %p", key, got, want)
	}
	if got != nil {
		return
	}
	slot := rapid.Uint32Range(0, 2).Draw(t, "backend")
	flow := Record{
		ForwardKey: key, Hash: hash, BackendPort: 8080,
		Backend: MakeRef(slot, m.roster.Peers[slot].Gen),
		Proto:   rapid.SampledFrom([]uint8{packet.ProtoTCP, packet.ProtoTCP, packet.ProtoTCP, packet.ProtoUDP}).Draw(t, "proto"),
	}
	if rapid.Bool().Draw(t, "nat") && !m.pick(t, &flow) {
		return
	}
	m.insert(t, &flow)
}

// pick chooses the flow's source port.
func (m *machine) pick(t *rapid.T, flow *Record) bool {
	peer := m.roster.Peers[flow.Backend.Slot()]
	path := Path{Backend: peer.Addr, Address: ipv4(10, 0, 0, 9), BackendPort: flow.BackendPort, Proto: flow.Proto}
	at := portsKey{path, flow.Hash}
	if m.paths[at] == nil {
		m.paths[at] = slowPorts(m.ports.hasher, machineBuckets, &path, flow.Hash)
	}
	reclaim := rapid.Bool().Draw(t, "reclaim")
	port, hash, err := m.table.PickPort(m.ports, &path, flow.Hash, reclaim)
	key := ReturnKey{Backend: peer.Addr, BackendPort: flow.BackendPort, Proto: flow.Proto}
	m.slow.checkPort(t, m.paths[at], key, reclaim, port, err)
	if err != nil {
		return false
	}
	if (hash^flow.Hash)&(machineBuckets-1) != 0 || hash != path.hash(m.ports.hasher, port) {
		t.Fatalf("port %d: return hash %#x, forward hash %#x", port, hash, flow.Hash)
	}
	flow.SNIPPort, flow.ReturnHash = port, hash
	key.SNIPPort = port
	m.tuples = append(m.tuples[max(0, len(m.tuples)-5):], tuple{key, hash}) // few, so that each is asked for often
	return true
}

// insert inserts a flow and follows its first packet.
func (m *machine) insert(t *rapid.T, flow *Record) {
	crowded := m.noRoom(flow.Hash) || flow.nat() && m.noRoom(flow.ReturnHash)
	full, anyDead := m.table.free == 0, m.table.Stats().Flows > len(m.slow.flows)
	victims := m.slow.victims()
	before := maps.Clone(m.slow.reported)
	r, err := m.table.Insert(flow)
	if full && !anyDead && len(victims) > 0 {
		gone := slices.IndexFunc(victims, func(p *Record) bool { return p.State == Free || p == r })
		if gone < 0 {
			t.Fatalf("table full: none of %d flows gave way that had to", len(victims))
		}
		delete(m.slow.flows, victims[gone])
	}
	if err != nil {
		if !crowded && (!full || anyDead || len(victims) > 0) {
			t.Fatalf("Insert: %v, though there is room", err)
		}
		return
	}
	if full && !anyDead && len(victims) == 0 {
		t.Fatalf("Insert succeeded, though no flow may give way")
	}
	if before[r] && m.slow.reported[r] {
		t.Fatalf("record given away, but its last flow was not reported as removed")
	}
	m.slow.reported[r] = true
	r.Track(m.now, &machineTimeouts, Client, segment(packet.TCPSyn, 0, 0, 0))
	want := *flow
	want.State, want.Deadline = SynSent, m.now+machineTimeouts.Handshake
	if flow.Proto == packet.ProtoUDP {
		want.State = Unreplied
	}
	m.slow.flows[r] = want
}

// noRoom reports whether a further entry for hash may fail: one of its buckets
// is full and the other nearly.
func (m *machine) noRoom(hash uint32) bool {
	mix := m.table.mix(hash)
	return m.table.index[m.table.first(mix)].len()+m.table.index[m.table.second(mix)].len() >= 2*ways-2
}

// answer is what a handler does for a packet of a backend.
func (m *machine) answer(t *rapid.T) {
	if len(m.tuples) == 0 {
		return
	}
	at := rapid.SampledFrom(m.tuples).Draw(t, "tuple")
	want := m.slow.holder(at.key)
	if want != nil && m.slow.flows[want].State == Resting {
		want = nil
	}
	if got := m.table.Return(m.drawHint(t, at.hash), at.hash, &at.key); got != want {
		t.Fatalf("Return(%+v) = %p, want %p", at.key, got, want)
	}
	if want != nil {
		m.track(t, want, Server)
	}
	m.misaddressed(t, at)
}

// misaddressed looks up a tuple that no flow has.
func (m *machine) misaddressed(t *rapid.T, at tuple) {
	switch rapid.IntRange(0, 4).Draw(t, "wrong") {
	case 0:
		at.key.Backend[0]++
	case 1:
		at.key.BackendPort++
	case 2:
		at.key.SNIPPort -= 1024
	case 3:
		at.key.SNIP++
	case 4:
		at.key.Proto++
	}
	if got := m.table.Return(m.drawHint(t, at.hash), at.hash, &at.key); got != nil && m.slow.holder(at.key) == nil {
		t.Fatalf("Return(%+v) = %+v, want nothing", at.key, *got)
	}
}

// track follows a random segment.
func (m *machine) track(t *rapid.T, r *Record, from Side) {
	l4 := drawSegment(t)
	want := m.slow.flows[r]
	want.Track(m.now, &machineTimeouts, from, l4)
	r.Track(m.now, &machineTimeouts, from, l4)
	m.slow.flows[r] = want
}

// establish takes a TCP flow through its handshake and, perhaps, to its end.
func (m *machine) establish(t *rapid.T, r *Record) {
	type step struct {
		from Side
		l4   []byte
	}
	steps := []step{
		{Server, segment(packet.TCPSyn|packet.TCPAck, 100, 1, 0)},
		{Client, segment(packet.TCPAck, 1, 101, 0)},
		{Client, segment(packet.TCPFin|packet.TCPAck, 1, 101, 0)},
		{Server, segment(packet.TCPFin|packet.TCPAck, 101, 2, 0)},
	}
	want := m.slow.flows[r]
	for _, step := range steps[:rapid.IntRange(2, len(steps)).Draw(t, "steps")] {
		if step.from == Client || r.nat() {
			want.Track(m.now, &machineTimeouts, step.from, step.l4)
			r.Track(m.now, &machineTimeouts, step.from, step.l4)
		}
	}
	m.slow.flows[r] = want
}

// retire ends a flow whose source port goes on resting.
func (m *machine) retire(r *Record) {
	want := m.slow.flows[r]
	m.table.Retire(r)
	if !want.nat() {
		delete(m.slow.flows, r)
		return
	}
	if want.State < Closing {
		want.Deadline = m.now + Rest
	}
	want.State, want.ClientPort = Resting, 0
	m.slow.flows[r] = want
}

// reload gives one slot to somebody else.
func (m *machine) reload(t *rapid.T) {
	roster := &Roster{Services: slices.Clone(m.roster.Services), Peers: slices.Clone(m.roster.Peers)}
	if slot := rapid.IntRange(0, 4).Draw(t, "slot"); slot < 2 {
		roster.Services[slot]++
	} else {
		roster.Peers[slot-2].Gen++
	}
	m.begin(roster)
}

// sweep sweeps part of the table or all of it.
func (m *machine) sweep(t *rapid.T) {
	before, n := m.table.Stats(), rapid.IntRange(0, 60).Draw(t, "n")
	freed := m.table.Sweep(n)
	after := m.table.Stats()
	if before.Flows-freed != after.Flows {
		t.Fatalf("%d flows before, %d freed, %d after", before.Flows, freed, after.Flows)
	}
	if n >= after.Capacity && after.Flows != len(m.slow.flows) {
		t.Fatalf("%d flows after a whole sweep, want %d", after.Flows, len(m.slow.flows))
	}
}

// run takes random steps and compares after each.
func run(t *rapid.T) {
	m := newMachine(t)
	defer m.table.Close()
	onFlow := func(do func(*rapid.T, *Record)) func(*rapid.T) {
		return func(t *rapid.T) {
			if r := m.drawFlow(t); r != nil {
				do(t, r)
			}
		}
	}
	wait := func(most uint32) func(*rapid.T) {
		return func(t *rapid.T) {
			m.now += rapid.Uint32Range(0, most).Draw(t, "ticks")
			m.begin(m.roster)
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"": m.check,
		"open": func(t *rapid.T) {
			for range rapid.IntRange(1, 12).Draw(t, "packets") {
				m.open(t)
			}
		},
		"answer":    m.answer,
		"track":     onFlow(func(t *rapid.T, r *Record) { m.track(t, r, Client) }),
		"establish": onFlow(m.establish),
		"retire":    onFlow(func(_ *rapid.T, r *Record) { m.retire(r) }),
		"remove":    onFlow(func(_ *rapid.T, r *Record) { m.table.Remove(r); delete(m.slow.flows, r) }),
		"sweep":     m.sweep,
		"wait":      wait(2 * TicksPerSecond),
		"wait long": wait(30 * TicksPerSecond),
		"reload":    m.reload,
	})
}

// TestAgainstSlow compares every operation with the slow twin over random
// sequences, with time jumps and reloads. They are long, because that is what
// fills the table, its buckets and its ports.
func TestAgainstSlow(t *testing.T) {
	if err := flag.Set("rapid.steps", "200"); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, run)
}

// FuzzAgainstSlow is TestAgainstSlow with sequences that the fuzzer grows.
func FuzzAgainstSlow(f *testing.F) { f.Fuzz(rapid.MakeFuzz(run)) }

package vserver

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"

	"golang.org/x/sys/unix"
)

const (
	benchBatch  = 64      // packets a pass
	benchArena  = 4096    // arena frames, used in turn: they come from the L3 cache, as received ones do
	benchFrames = 1 << 17 // prepared frames at least: more than fit a cache
)

// A load is a stream of minimal segments of established flows. They are
// prepared once; each batch is copied into the arena anew.
type load struct {
	node   *testNode
	frames [][]byte // in random order
	batch  []engine.Packet
	next   int
	buffer uint32
}

// newLoad opens flows. In nat, every second flow's segments are its backend's.
func newLoad(b *testing.B, mode Mode, p path, flows int) *load {
	b.Helper()
	n := newSizedNode(b, testConfig(mode, Maglev, 64), flows, benchArena)
	l := &load{node: n, batch: make([]engine.Packet, benchBatch)}
	syn, ack := p.open(), p.open(pt.Flags("A"), pt.SeqAck(1, 101))
	count := max(flows, benchFrames)
	for i := range flows {
		setClient(syn, i)
		setClient(ack, i)
		first := n.one(clientSide, syn).sent(b, serverSide).frame
		segment := append([]byte(nil), ack...)
		if mode == NAT {
			n.one(serverSide, mirror(first, packet.TCPSyn|packet.TCPAck, 100)).sent(b, clientSide)
		}
		n.one(clientSide, ack).sent(b, serverSide)
		if mode == NAT && i%2 == 1 {
			segment = mirror(first, packet.TCPAck, 101)
		}
		for range count / flows {
			l.frames = append(l.frames, segment)
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(l.frames), func(i, j int) {
		l.frames[i], l.frames[j] = l.frames[j], l.frames[i]
	})
	memory := make([]byte, 128*len(l.frames)) // they lie there in the order of use, each by itself
	for i, f := range l.frames {
		l.frames[i] = append(memory[128*i:128*i:128*(i+1)], toNode(clientSide, f)...)
	}
	return l
}

// setClient gives a frame's client the i-th of a quarter million addresses and
// many ports.
func setClient(frame []byte, i int) {
	var info packet.Info
	packet.Parse(frame, &info)
	host := uint16(i)
	if info.Flags&packet.FlagIPv6 != 0 {
		binary.BigEndian.PutUint16(frame[info.L3+22:], host)
	} else {
		frame[info.L3+15] = byte(host)
		info.IPv4(frame).UpdateChecksum()
	}
	binary.BigEndian.PutUint16(frame[info.L4:], 1024+uint16(i>>8))
}

// mirror returns the backend's answer to a segment. Its TCP checksum is wrong:
// nobody looks.
func mirror(frame []byte, flags uint8, seq uint32) []byte {
	var info packet.Info
	packet.Parse(frame, &info)
	f := append([]byte(nil), frame...)
	copy(f, pt.DstMAC[:])
	size := 4 // of an address
	if info.Flags&packet.FlagIPv6 != 0 {
		size = 16
	}
	src := int(info.L4) - 2*size // neither family has options here
	copy(f[src:], frame[src+size:src+2*size])
	copy(f[src+size:], frame[src:src+size])
	binary.BigEndian.PutUint32(f[info.L4:], info.Ports()<<16|info.Ports()>>16)
	binary.BigEndian.PutUint32(f[info.L4+4:], seq)
	binary.BigEndian.PutUint32(f[info.L4+8:], 1)
	f[info.L4+13] = flags
	return f
}

// receive is what the engine does before Decide: frames arrive, are parsed and
// hashed.
func (l *load) receive() {
	hasher := l.node.snapshot.Hasher
	for i := range l.batch {
		p := &l.batch[i]
		f := l.frames[l.next]
		if l.next++; l.next == len(l.frames) {
			l.next = 0
		}
		l.buffer = (l.buffer + 1) % benchArena
		p.Segment = engine.Segment{Frame: l.buffer, Off: engine.Headroom, Len: uint16(len(f))}
		frame := l.node.arena.Bytes(p.Segment)
		copy(frame, f)
		packet.Parse(frame, &p.Info)
		p.Hash = hashOf(hasher, frame, &p.Info)
	}
}

// decide is Decide, and fails unless all packets leave.
func (l *load) decide(b *testing.B) {
	l.node.handler.Decide(&l.node.snapshot, l.node.now, l.batch)
	for i := range l.batch {
		if l.batch[i].Verdict != engine.Transmit {
			b.Fatalf("dropped: %v", l.batch[i].Reason)
		}
	}
}

// BenchmarkPipeline measures one packet's way from arrival to verdict; "receive"
// is the part of it before Decide: copying the frame in, Parse and the hash.
func BenchmarkPipeline(b *testing.B) {
	for _, mode := range []Mode{NAT, DSR} {
		for _, p := range []path{paths[0], paths[2]} {
			for _, flows := range []int{10_000, 1 << 20} {
				b.Run(fmt.Sprintf("mode=%v/path=%s/flows=%d", mode, p.name, flows), func(b *testing.B) {
					l := newLoad(b, mode, p, flows)
					b.Run("receive", func(b *testing.B) { measure(b, l.receive) })
					b.Run("all", func(b *testing.B) {
						measure(b, func() {
							l.receive()
							l.decide(b)
						})
					})
				})
			}
		}
	}
}

// measure runs batch until b.N packets are done. Besides the time that passed it
// reports the processor time, which is less disturbed by neighbours.
func measure(b *testing.B, batch func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	before := cpuTime(b)
	for range b.N/benchBatch + 1 {
		batch()
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkOpen measures a new flow, from the arrival of its SYN to the sweep
// that frees its record; the table is half full of half-open flows.
func BenchmarkOpen(b *testing.B) {
	for _, mode := range []Mode{NAT, DSR} {
		b.Run("mode="+mode.String(), func(b *testing.B) {
			const capacity = 1 << 16
			n := newSizedNode(b, testConfig(mode, Maglev, 64), capacity, benchArena)
			l := &load{node: n, batch: make([]engine.Packet, benchBatch)}
			syn := paths[0].open()
			for i := range 4 * capacity {
				setClient(syn, i)
				l.frames = append(l.frames, append(make([]byte, 0, 128), toNode(clientSide, syn)...))
			}
			pause := int64(DefaultTimeouts().Handshake) * benchBatch / (capacity / 2)
			measure(b, func() {
				l.receive()
				l.decide(b)
				n.now += pause
				n.handler.Housekeep(&n.snapshot, n.now)
			})
			if c := n.handler.Counters().Flows; c.Evicted > 0 {
				b.Errorf("%d flows gave way", c.Evicted)
			}
		})
	}
}

// BenchmarkFragments measures one fragment's way from arrival to verdict, of
// datagrams of four that come in order or backwards.
func BenchmarkFragments(b *testing.B) {
	for _, mode := range []Mode{NAT, DSR} {
		for _, p := range []path{paths[1], paths[3]} {
			for _, order := range [][4]int{{0, 1, 2, 3}, {3, 2, 1, 0}} {
				b.Run(fmt.Sprintf("mode=%v/path=%s/order=%v", mode, p.name, order), func(b *testing.B) {
					n := newSizedNode(b, testConfig(mode, Maglev, 64), 1<<12, benchArena)
					l := &load{node: n, batch: make([]engine.Packet, benchBatch)}
					for i := range 1024 {
						cut := pt.Cut(p.from(i).open(pt.PayloadSize(100)), uint32(i), 32, 64, 96)
						for _, at := range order {
							l.frames = append(l.frames, toNode(clientSide, cut[at]))
						}
					}
					out := make([]engine.Packet, benchBatch, 2*benchBatch)
					measure(b, func() {
						l.receive()
						n.handler.Decide(&n.snapshot, n.now, l.batch)
						released := out[:n.handler.Release(out)]
						n.handler.Decide(&n.snapshot, n.now, released)
						for _, p := range append(released, l.batch...) {
							if p.Verdict == engine.Drop {
								b.Fatalf("dropped: %v", p.Reason)
							}
						}
					})
				})
			}
		}
	}
}

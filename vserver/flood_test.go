package vserver

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
	"appliance/internal/fib"
)

// A siege is a node under a flood of SYNs from forged sources, which the backend
// answers and nobody acknowledges, while honest clients open connections. Time is
// simulated, in steps of a millisecond.
type siege struct {
	*testNode
	random *rand.Rand
	syn    []byte // that all others are made from
	honest []handshake
	opened int // honest handshakes whose SYN was sent
	done   int // and that are complete
}

// A handshake is one that an honest client is in the middle of.
type handshake struct {
	syn     []byte
	backend string // the link-layer address that the SYN went to
	due     int64  // when the client's acknowledgment arrives
}

const (
	siegeRate  = 300_000                // SYNs a second
	siegeStep  = time.Millisecond       // of simulated time
	siegeRTT   = 100 * time.Millisecond // the longest of honest clients; the shortest is a step
	siegeTime  = 1500 * time.Millisecond
	siegeShort = 500 * time.Millisecond // with -short: half of it until the table is full
	siegeFirst = 0x0a800000             // first address of honest clients, none of which is a forged one
)

// stamp gives a frame another source address and port, IPv4 header checksum
// included. Of an IPv6 address it is the last 32 bits.
func stamp(frame []byte, addr uint32, port uint16) []byte {
	f := append([]byte(nil), frame...)
	if f[12] == 0x08 {
		ip := packet.IPv4(f[14:][:packet.IPv4Size])
		was := ip.Addrs()
		now := uint64(addr)<<32 | was&0xffffffff
		ip.SetAddrs(now)
		ip.SetChecksum(packet.Delta(0).Quad(was, now).Apply(ip.Checksum()))
		binary.BigEndian.PutUint16(f[34:], port)
		return f
	}
	binary.BigEndian.PutUint32(f[14+8+12:], addr)
	binary.BigEndian.PutUint16(f[54:], port)
	return f
}

// answerSYN turns a SYN, as a backend got it, into its answer.
func answerSYN(frame []byte) []byte {
	f := append([]byte(nil), frame...)
	swap := func(at, n int) {
		for i := range n {
			f[at+i], f[at+n+i] = f[at+n+i], f[at+i]
		}
	}
	l4 := 14 + 40
	swap(0, 6)
	if f[12] == 0x08 {
		l4 = 14 + 20
		swap(14+12, 4)
	} else {
		swap(14+8, 16)
	}
	swap(l4, 2)
	binary.BigEndian.PutUint32(f[l4+8:], binary.BigEndian.Uint32(f[l4+4:])+1)
	binary.BigEndian.PutUint32(f[l4+4:], 5000)
	f[l4+13] = packet.TCPSyn | packet.TCPAck
	return f
}

// acknowledge turns a client's SYN into its next segment.
func acknowledge(syn []byte) []byte {
	f := append([]byte(nil), syn...)
	l4 := len(f) - packet.TCPSize
	binary.BigEndian.PutUint32(f[l4+4:], binary.BigEndian.Uint32(f[l4+4:])+1)
	binary.BigEndian.PutUint32(f[l4+8:], 5001)
	f[l4+13] = packet.TCPAck
	return f
}

// receiveAll runs frames through the node, a batch at a time, and returns those
// that left.
func (s *siege) receiveAll(in uint8, frames [][]byte) (left [][]byte) {
	for len(frames) > 0 {
		batch := frames[:min(64, len(frames))]
		frames = frames[len(batch):]
		for _, o := range s.receive(in, batch...) {
			if o.Verdict == engine.Transmit {
				left = append(left, o.frame)
			}
		}
	}
	return left
}

// step lets a millisecond pass: what was forged arrives, the backend answers, an
// honest client begins, and others go on.
func (s *siege) step(mode Mode) {
	s.now += int64(siegeStep)
	s.handler.Housekeep(&s.snapshot, s.now)
	var forged [][]byte
	for range siegeRate * int(siegeStep) / int(time.Second) {
		forged = append(forged, stamp(s.syn, 0xc6120000|s.random.Uint32()&0x1ffff, uint16(1+s.random.IntN(65535))))
	}
	left := s.receiveAll(clientSide, forged)

	syn := stamp(s.syn, siegeFirst|uint32(s.opened), 1024)
	s.opened++
	if o := s.one(clientSide, syn); o.Verdict == engine.Transmit {
		rtt := siegeStep + time.Duration(s.random.Int64N(int64(siegeRTT-siegeStep)))
		s.honest = append(s.honest, handshake{syn, string(o.frame[:6]), s.now + int64(rtt)})
		left = append(left, o.frame)
	}
	if mode == NAT {
		var answers [][]byte
		for _, f := range left {
			answers = append(answers, answerSYN(f))
		}
		s.receiveAll(serverSide, answers)
	}
	s.finish()
}

// finish has clients whose time has come acknowledge. A handshake is complete
// when that reaches the backend that got the SYN.
func (s *siege) finish() {
	waiting := s.honest[:0]
	for _, h := range s.honest {
		if h.due > s.now {
			waiting = append(waiting, h)
			continue
		}
		o := s.one(clientSide, acknowledge(h.syn))
		if o.Verdict == engine.Transmit && string(o.frame[:6]) == h.backend {
			s.done++
		}
	}
	s.honest = waiting
}

// A full table, or no source port left, keeps nobody out: who finishes the
// handshake within a tenth of a second gets in, and who is in stays.
func TestFloodOfSYNs(t *testing.T) {
	const established = 500
	long := siegeTime
	if testing.Short() {
		long = siegeShort
	}
	for _, c := range []struct {
		name     string
		mode     Mode
		path     path
		capacity int
		backends int
		snips    int
	}{
		{"dsr, full table", DSR, paths[0], 1 << 16, 3, 2},
		{"dsr, full table, IPv6", DSR, paths[2], 1 << 16, 3, 2},
		{"nat, full table", NAT, paths[0], 1 << 16, 3, 2},
		{"nat, full table, IPv6", NAT, paths[2], 1 << 16, 3, 2},
		{"nat, no source ports", NAT, paths[0], 1 << 19, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(c.mode, RoundRobin, c.backends) // so that a lost record shows in dsr, too
			cfg.SNIPs = append(cfg.SNIPs[:c.snips:c.snips], cfg.SNIPs[2:][:c.snips]...)
			s := newSiege(t, cfg, c.path, c.capacity)
			var open []dialled
			for i := range established {
				open = append(open, s.establish(c.mode, c.path.from(i)))
			}
			for range long / siegeStep {
				s.step(c.mode)
			}
			count := s.handler.Counters()
			share := float64(s.done) / float64(s.opened-len(s.honest))
			t.Logf("%.1f %% of %d handshakes complete; %d records, %d gave way, %d unlisted",
				100*share, s.opened-len(s.honest), count.Flows.Flows, count.Flows.Evicted, count.Unlisted)
			if share < 0.9 {
				t.Errorf("%.1f %% of honest handshakes complete, want 90", 100*share)
			}
			if count.Flows.Evicted < siegeRate/4 {
				t.Errorf("only %d flows gave way: this was no siege", count.Flows.Evicted)
			}
			s.hold(t, open)
		})
	}
}

// newSiege returns a node with so many flows' room, before the siege. Unlike the
// other tests' it has a way back to any client.
func newSiege(t *testing.T, cfg Config, p path, capacity int) *siege {
	s := &siege{
		testNode: newSizedNode(t, cfg, capacity, 64),
		random:   rand.New(rand.NewPCG(1, uint64(capacity))),
		syn:      p.open(pt.SeqAck(100, 0)),
	}
	network := testNetwork()
	network.Routes = append(network.Routes, fib.Route{
		Prefix: netip.MustParsePrefix("0.0.0.0/0"),
		Hops:   []fib.Hop{{Link: network.Links[0].Index, Via: netip.MustParseAddr("203.0.113.1")}},
	})
	s.routes = compile(t, network)
	s.load(cfg)
	return s
}

// dialled is a connection that was open before the siege, and the link-layer
// address of its backend.
type dialled struct {
	p   path
	mac string
}

// establish opens a connection.
func (s *siege) establish(mode Mode, p path) dialled {
	s.t.Helper()
	syn := p.open(pt.SeqAck(100, 0))
	f := s.one(clientSide, syn).sent(s.t, serverSide).frame
	if mode == NAT {
		s.one(serverSide, answerSYN(f)).sent(s.t, clientSide)
	}
	s.one(clientSide, acknowledge(syn)).sent(s.t, serverSide)
	return dialled{p, string(f[:6])}
}

// hold fails the test unless connections that were open before the siege still
// have their records.
func (s *siege) hold(t *testing.T, open []dialled) {
	t.Helper()
	before := s.total().NewFlows
	for i, d := range open {
		f := s.one(clientSide, d.p.open(pt.Flags("A"), pt.SeqAck(101, 5001))).sent(t, serverSide).frame
		if string(f[:6]) != d.mac {
			t.Errorf("connection %d went to backend %x, now to %x", i, d.mac, f[:6])
		}
	}
	if after := s.total().NewFlows; after != before {
		t.Errorf("%d of %d open connections had lost their records", after-before, len(open))
	}
}

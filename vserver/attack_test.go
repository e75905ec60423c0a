package vserver

import (
	"fmt"
	"testing"
	"time"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// Whoever knows a connection's addresses and ports, but not its sequence
// numbers, must not break it, be it busy or idle.
func TestBlindSegmentsBreakNothing(t *testing.T) {
	const far = 1 << 30
	for _, tc := range []struct {
		name  string
		flags []string
	}{
		{"RST", []string{"R"}},
		{"RST and SYN", []string{"R", "S"}},
		{"FIN and SYN", []string{"FA", "S"}},
		{"FIN, RST and SYN", []string{"FA", "RA", "S"}},
		{"data, RST and SYN", []string{"PA", "R", "S"}},
		{"SYN", []string{"S"}},
	} {
		for _, idle := range []time.Duration{0, 10 * time.Minute} {
			n := newNode(t, testConfig(NAT, RoundRobin, 3))
			c := n.dial(paths[0], 0)
			for _, flags := range tc.flags {
				n.one(clientSide, c.p.open(pt.Flags(flags), pt.SeqAck(far, far))).sent(t, serverSide)
			}
			n.pass(idle)
			if r := c.next(); r.frame != nil {
				src, dst := ends(t, r.frame)
				if src != c.snip || dst != c.backend {
					t.Errorf("%s, %v idle: flow went %v to %v, now %v to %v", tc.name, idle, c.snip, c.backend, src, dst)
				}
			}
		}
	}
}

// Where the node sees one side only, nothing tells the client's segments from
// forged ones, but at least they don't send a connection to another backend.
func TestBlindSegmentsLeaveAFlowItsBackend(t *testing.T) {
	for _, mode := range directModes {
		for _, flags := range []string{"R", "FA"} {
			n := newNode(t, testConfig(mode, RoundRobin, 3))
			first := n.one(clientSide, paths[0].open()).sent(t, serverSide).frame
			for _, flags := range []string{"A", flags, "S", "A"} {
				out := n.one(clientSide, paths[0].open(pt.Flags(flags), pt.SeqAck(1<<30, 1))).sent(t, serverSide).frame
				if string(out[:6]) != string(first[:6]) {
					t.Errorf("%v, %s: went to %x, the flow's first segment to %x", mode, flags, out[:6], first[:6])
				}
			}
		}
	}
}

// A client that resets a connection may open the next one from the same port.
func TestReset(t *testing.T) {
	n := newNode(t, testConfig(NAT, RoundRobin, 3))
	c := n.dial(paths[0], 0)
	n.one(clientSide, c.p.open(pt.Flags("R"), pt.SeqAck(2, 0))).sent(t, serverSide)
	n.one(clientSide, c.p.open(pt.Flags("S"), pt.SeqAck(1<<20, 0))).sent(t, serverSide)
	n.one(serverSide, c.answer(pt.Flags("SA"), pt.SeqAck(5000, 1<<20+1))).sent(t, clientSide)
	n.one(clientSide, c.p.open(pt.Flags("A"), pt.SeqAck(1<<20+1, 5001))).sent(t, serverSide)
	n.pass(10 * time.Minute)
	c.intact()
}

// Both sides have sent their FINs, but what went before is still under way.
func TestSlowCloseIsNotCutShort(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	c := n.dial(paths[0], 0)
	n.one(clientSide, c.p.open(pt.Flags("FA"), pt.SeqAck(1, 101))).sent(t, serverSide)
	n.one(serverSide, c.answer(pt.Flags("FA"), pt.SeqAck(9000, 2))).sent(t, clientSide)
	for range 10 {
		n.pass(20 * time.Second)
		n.one(serverSide, c.answer(pt.Flags("A"), pt.SeqAck(101, 2), pt.PayloadSize(1000))).sent(t, clientSide)
		n.one(clientSide, c.p.open(pt.Flags("A"), pt.SeqAck(2, 1101))).sent(t, serverSide)
	}
	n.pass(70 * time.Second)
	n.one(serverSide, c.answer()).dropped(t, packet.NoFlow)
}

// A flood of SYNs takes up all source ports; who finishes the handshake gets in.
func TestFloodLeavesPorts(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.SNIPs, cfg.Buckets = addrs("10.1.0.254", "fd00:1::254"), 8192
	n := newNode(t, cfg)
	kept := n.dial(paths[0], 0)
	bucket := n.place(0, clientSide, kept.p.open()).Hash % 8192
	const ports = 8 // of a bucket
	for i, flows := 1, 0; flows < 2*ports; i++ {
		p := paths[0]
		p.client = fmt.Sprintf("198.18.0.%d:1", 1+i%4)
		if syn := p.from(i / 4).open(); n.place(0, clientSide, syn).Hash%8192 == bucket {
			n.one(clientSide, syn).sent(t, serverSide)
			flows++
		}
	}
	kept.intact()
}

// What nobody has answered doesn't wait for a backend that is down.
func TestUnansweredFlowsLeaveADeadBackend(t *testing.T) {
	for _, mode := range allModes {
		for _, p := range paths {
			n := newNode(t, testConfig(mode, RoundRobin, 2))
			first := n.one(clientSide, p.open()).sent(t, serverSide).frame
			for _, s := range n.services().config.Services {
				n.down[s.Name+"/b1"] = true
			}
			n.load(testConfig(mode, RoundRobin, 2))
			if p.name[:3] == "udp" {
				n.pass(4 * time.Second) // no SYN says that the client waits
			}
			again := n.one(clientSide, p.open()).sent(t, serverSide).frame
			if first[5] != 1 || again[5] != 2 {
				t.Errorf("%v, %s: went to backend %d, then, with b1 down, to %d", mode, p.name, first[5], again[5])
			}
		}
	}
}

// A client that uses a port again finds a backend that lives, however its last
// connection from there ended.
func TestUsedPortsLeaveADeadBackend(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		for _, end := range []string{"R", "FA", ""} { // reset, half-closed, the client's machine restarted
			n := newNode(t, testConfig(mode, RoundRobin, 2))
			var first byte
			if mode == NAT {
				first = lastByte(n.dial(paths[0], 0).backend)
			} else {
				first = n.one(clientSide, paths[0].open()).sent(t, serverSide).frame[5]
				n.one(clientSide, paths[0].open(pt.Flags("A"), pt.SeqAck(1, 101))).sent(t, serverSide)
			}
			n.down[fmt.Sprintf("tcp4/b%d", first)] = true
			n.load(testConfig(mode, RoundRobin, 2))
			if end != "" {
				n.one(clientSide, paths[0].open(pt.Flags(end), pt.SeqAck(1, 101))).sent(t, serverSide)
			}
			var went byte
			for _, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} { // as TCP tries
				n.pass(pause)
				went = n.one(clientSide, paths[0].open(pt.Flags("S"), pt.SeqAck(1<<30, 0))).sent(t, serverSide).frame[5]
			}
			if went == first {
				t.Errorf("%v, after %q: the third SYN still went to backend %d, which is down", mode, end, first)
			}
		}
	}
}

// A forged SYN doesn't take an established connection from a backend that is
// called down but answers.
func TestSYNsLeaveLiveConnectionsAlone(t *testing.T) {
	n := newNode(t, testConfig(NAT, RoundRobin, 2))
	c := n.dial(paths[0], 0)
	n.down[fmt.Sprintf("tcp4/b%d", lastByte(c.backend))] = true
	n.load(testConfig(NAT, RoundRobin, 2))
	for range 20 {
		n.pass(time.Second)
		n.one(clientSide, c.p.open(pt.Flags("S"), pt.SeqAck(1<<30, 0))).sent(t, serverSide)
		c.intact()
	}
}

// Single questions, each from a port of its own, don't use the source ports up:
// not a busy resolver's, and not those of forged sources.
func TestQuestionsLeavePorts(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.Buckets = 8192
	n := newNode(t, cfg)
	kept := n.dial(paths[1], 0)
	kept.intact()
	kept.intact()
	bucket := n.place(0, clientSide, kept.p.open()).Hash % 8192
	for i, asked := 1, 0; asked < 100; i++ { // of a bucket with 16 ports
		p := paths[1]
		p.client = fmt.Sprintf("192.0.2.%d:1", 1+i%250)
		if p = p.from(i / 250); n.place(0, clientSide, p.open()).Hash%8192 != bucket {
			continue
		}
		asked++
		n.pass(100 * time.Millisecond)
		c := conn{n: n, p: p}
		c.snip, c.backend = ends(t, n.one(clientSide, p.open()).sent(t, serverSide).frame)
		n.one(serverSide, c.answer()).sent(t, clientSide)
	}
	kept.intact()
}

// A client that sends datagrams for ever from one port doesn't keep a dead
// backend, but a backend that answers keeps its flows, whatever its check says.
func TestDatagramsLeaveADeadBackend(t *testing.T) {
	for _, tc := range []struct {
		mode    Mode
		answers bool
		leaves  bool
	}{{NAT, false, true}, {NAT, true, false}, {DSR, false, true}, {IPIP, false, true}, {GUE, false, true}} {
		n := newNode(t, testConfig(tc.mode, RoundRobin, 2))
		first := n.one(clientSide, paths[1].open()).sent(t, serverSide).frame
		c := conn{n: n, p: paths[1]}
		if tc.mode == NAT {
			c.snip, c.backend = ends(t, first)
			n.one(serverSide, c.answer()).sent(t, clientSide)
		} else {
			n.one(clientSide, paths[1].open()).sent(t, serverSide)
		}
		n.down["udp4/b1"] = true
		n.load(testConfig(tc.mode, RoundRobin, 2))
		var last []byte
		for range 30 {
			n.pass(20 * time.Second)
			last = n.one(clientSide, paths[1].open()).sent(t, serverSide).frame
			if tc.answers {
				n.one(serverSide, c.answer()).sent(t, clientSide)
			}
		}
		if left := last[5] != first[5]; left != tc.leaves {
			t.Errorf("%v, backend answers %v: flow left its dead backend: %v", tc.mode, tc.answers, left)
		}
	}
}

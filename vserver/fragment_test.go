package vserver

import (
	"fmt"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// pieces sends the fragments of a datagram from a path's client and returns what
// leaves, in order; none may be dropped.
func (n *testNode) pieces(in uint8, pieces ...[]byte) (out []outcome) {
	n.t.Helper()
	for _, o := range append(n.receive(in, pieces...), n.release()...) {
		if o.Verdict != engine.Hold {
			out = append(out, o.sent(n.t, 1-in))
		}
	}
	return out
}

// framesOf returns the bytes of outcomes.
func framesOf(outs []outcome) (frames [][]byte) {
	for _, o := range outs {
		frames = append(frames, o.frame)
	}
	return frames
}

// join puts fragments together and fails the test if that can't be done, or if
// what comes out has a wrong checksum.
func join(t testing.TB, outs []outcome, checks ...pt.Checker) []byte {
	t.Helper()
	whole, err := pt.Join(framesOf(outs))
	if err != nil {
		t.Fatal(err)
	}
	pt.Check(t, whole, checks...)
	return whole
}

// rotations are orders in which three fragments may come.
var rotations = [][3]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}}

// In whatever order its fragments come, a datagram goes to the backend of its
// flow's whole packets, and so does the answer to the client.
func TestFragmentsFollowTheirFlow(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		for _, p := range paths {
			for _, order := range rotations {
				t.Run(fmt.Sprintf("%v/%s/%v", mode, p.name, order), func(t *testing.T) {
					n := newNode(t, testConfig(mode, RoundRobin, 5))
					n.one(clientSide, p.from(1).open()) // so that the next in turn is another
					whole := n.one(clientSide, p.open()).sent(t, serverSide)
					src, dst := ends(t, whole.frame)
					cut := pt.Cut(p.open(pt.PayloadSize(100), pt.TTL(9)), 77, 32, 64)
					out := n.pieces(clientSide, cut[order[0]], cut[order[1]], cut[order[2]])
					ttl := uint8(9)
					if mode == NAT {
						ttl = 8
					}
					join(t, out, pt.WantSrc(src.String()), pt.WantDst(dst.String()), pt.WantPayloadLen(100), pt.WantTTL(ttl),
						pt.WantMACs(nodeMAC1, [6]byte(whole.frame)))
					if mode == DSR {
						return
					}
					cut = pt.Cut(p.build(dst.String(), src.String(), pt.PayloadSize(100)), 77, 32, 64)
					out = n.pieces(serverSide, cut[order[0]], cut[order[1]], cut[order[2]])
					join(t, out, pt.WantSrc(p.vip), pt.WantDst(p.client), pt.WantPayloadLen(100), pt.WantMACs(nodeMAC0, routerMAC))
				})
			}
		}
	}
}

// Two clients' datagrams with one identification reach the backend with two, and
// dsr, which leaves the client's address, leaves the identification too.
func TestIdentifications(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.SNIPs = addrs("10.1.0.254", "fd00:1::254")
	for _, p := range []path{paths[1], paths[3]} {
		for _, mode := range []Mode{NAT, DSR} {
			n := newNode(t, withMode(cfg, mode))
			seen := map[uint32]bool{}
			for i := range 100 {
				q := p
				q.client = fmt.Sprintf("192.0.2.%d:5", 1+i)
				if p.name == "udp6" {
					q.client = fmt.Sprintf("[2001:db8:c::%x]:5", 1+i)
				}
				out := n.pieces(clientSide, pt.Cut(q.open(pt.PayloadSize(20)), 77, 16)...)
				join(t, out)
				for _, o := range out {
					seen[packet.PartOf(o.frame, &o.Info).ID] = true
				}
			}
			if want := map[Mode]int{NAT: 100, DSR: 1}[mode]; len(seen) != want {
				t.Errorf("%v, %s: 100 datagrams have %d identifications, want %d", mode, p.name, len(seen), want)
			}
		}
	}
}

// An IPv4 datagram without a checksum has none behind nat either.
func TestFragmentsWithoutChecksum(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	whole := join(t, n.pieces(clientSide, pt.Cut(paths[1].open(pt.PayloadSize(20), pt.NoChecksum()), 7, 8)...))
	p, err := pt.Decode(whole)
	if err != nil || p.UDP.Checksum != 0 {
		t.Errorf("checksum %#x, %v", p.UDP.Checksum, err)
	}
}

// What becomes of fragments that don't go on.
func TestRefusedFragments(t *testing.T) {
	p4, p6 := paths[1], paths[3]
	data := pt.PayloadSize(100)
	cut := pt.Cut(p4.open(data), 1, 32, 64)
	other := pt.Cut(p4.open(data), 1, 40)
	unserved := pt.Cut(pt.UDP("192.0.2.7:5", "198.51.100.10:99", data), 1, 32)
	zero := pt.Cut(p6.open(data), 1, 32)
	zero[0][14+40+8+3] = 0 // destination port 80 becomes 0
	for _, tc := range []struct {
		name   string
		frames [][]byte
		why    packet.Reason
		count  int
	}{
		{"overlap", [][]byte{cut[1], other[1], cut[0], cut[2]}, packet.FragmentOverlap, 4},
		{"another first", [][]byte{cut[1], cut[0], pt.Cut(p4.from(1).open(data), 1, 32)[0], cut[2]}, packet.FragmentOverlap, 2},
		{"no first", [][]byte{cut[1], cut[2]}, packet.FragmentOrphan, 2},
		{"bad first", zero, packet.BadPort, 1},
		{"bad first, later", zero, packet.FragmentOrphan, 1},
		{"no service, later", unserved, packet.NoService, 1},
		{"no flow", pt.Cut(pt.UDP("10.1.0.1:80", "10.1.0.254:4000", data), 1, 32), packet.NoFlow, 2},
		{"spoofed", pt.Cut(pt.UDP("10.1.0.254:80", "198.51.100.10:80", data), 1, 32), packet.BadSource, 2},
		{"ping", [][]byte{pt.Echo("192.0.2.7", "198.51.100.10", pt.Fragment(64, true), pt.PayloadSize(8))}, packet.Fragment, 1},
		{"nobody's", pt.Cut(pt.UDP("192.0.2.7:5", "198.51.100.99:80", data), 1, 32), packet.NotOurs, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t, testConfig(NAT, Maglev, 2))
			var out []outcome
			for _, f := range tc.frames {
				out = append(out, n.one(clientSide, f))
				out = append(out, n.release()...)
			}
			n.pass(1200 * time.Millisecond)
			count := 0
			for _, o := range append(out, n.release()...) {
				if o.Verdict == engine.Drop && o.Reason == tc.why {
					count++
				}
			}
			if count != tc.count || n.handler.Held() != 0 {
				t.Errorf("%d dropped for %v, %d held, want %d and none: %+v", count, tc.why, n.handler.Held(), tc.count, out)
			}
		})
	}
}

// The first fragment of a datagram draws the error that a whole packet would; the
// others are dropped in silence.
func TestErrorsAboutFragments(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 0)
	cfg.Services[1].Backends = []BackendConfig{{Name: "b", Address: addrs("10.2.0.1")[0], Weight: 1}}
	cfg.Services[3].Backends = []BackendConfig{{Name: "b", Address: addrs("fd00:2::1")[0], Weight: 1}}
	for _, mode := range []Mode{NAT, DSR} {
		for _, tc := range []struct {
			p         path
			typ, code uint8
		}{
			{paths[1], packet.ICMPUnreachable, 4},
			{paths[3], packet.ICMPv6PacketTooBig, 0},
		} {
			n := newNode(t, withMode(cfg, mode))
			cut := pt.Cut(tc.p.open(pt.PayloadSize(2800)), 77, 1400, 2784)
			out := n.receive(clientSide, cut...)
			pt.Check(t, out[0].sent(t, clientSide).frame, pt.WantICMP(tc.typ, tc.code), pt.WantMACs(nodeMAC0, routerMAC))
			if mtu := out[0].ICMP(out[0].frame).Rest(); mtu != 1400 {
				t.Errorf("told an MTU of %d", mtu)
			}
			if quoted := out[0].ICMP(out[0].frame)[packet.ICMPSize:]; string(quoted) != string(cut[0][14:][:len(quoted)]) {
				t.Error("quotes another packet")
			}
			out[1].dropped(t, packet.TooBig)
			out[2].sent(t, serverSide)
		}
	}
	n := newNode(t, testConfig(NAT, Maglev, 1))
	out := n.receive(clientSide, pt.Cut(paths[3].open(pt.PayloadSize(100), pt.TTL(1)), 77, 32)...)
	pt.Check(t, out[0].sent(t, clientSide).frame, pt.WantICMP(packet.ICMPv6TimeExceeded, 0))
	out[1].dropped(t, packet.TTLExceeded)
}

// Later fragments say nothing about a connection: the bytes where TCP flags would
// be are data.
func TestLaterFragmentsAreNotTracked(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	c := n.dial(paths[0], 0)
	reset := make([]byte, 100)
	for i := range reset {
		reset[i] = packet.TCPRst
	}
	n.pieces(clientSide, pt.Cut(c.p.open(pt.Flags("A"), pt.SeqAck(1, 101), pt.Payload(reset)), 7, 32, 72)...)
	n.pieces(serverSide, pt.Cut(c.answer(pt.Flags("A"), pt.SeqAck(101, 1), pt.Payload(reset)), 7, 32, 72)...)
	n.pass(10 * time.Minute)
	c.intact()
}

// Fragments survive what the link layer asks for.
func TestFragmentsOnVLANs(t *testing.T) {
	n := newNode(t, vlanConfig())
	p := paths[0]
	p.client = "192.0.10.1:5000"
	cut := pt.Cut(p.open(pt.VLAN(10), pt.PayloadSize(100)), 77, 32, 64)
	join(t, n.pieces(clientSide, cut[2], cut[1], cut[0]), pt.WantVLAN(20, 0), pt.WantPayloadLen(100))
}

// A flood of fragments has bounded room, and datagrams still get through it.
func TestFragmentFlood(t *testing.T) {
	n := newSizedNode(t, testConfig(NAT, Maglev, 2), testCapacity, 1024)
	whole := pt.Cut(paths[3].open(pt.PayloadSize(300)), 77, 96, 200)
	var sent []outcome
	gaveWay := 0
	for i := range 3000 {
		frames := [][]byte{pt.UDP("192.0.2.9:5", "198.51.100.10:80", pt.ID(uint16(i)), pt.Fragment(64, true), pt.PayloadSize(8))}
		if at := (i - 1500) / 10; i%10 == 0 && at >= 0 && at < 3 {
			frames = append(frames, whole[2-at]) // backwards
		}
		for _, o := range append(n.receive(clientSide, frames...), n.release()...) {
			switch o.Verdict {
			case engine.Transmit:
				sent = append(sent, o)
			case engine.Drop:
				o.dropped(t, packet.FragmentTableFull)
				gaveWay++
			}
		}
	}
	join(t, sent, pt.WantPayloadLen(300))
	if held := n.handler.Held(); held != 3000-gaveWay || held < 500 || held > 512 {
		t.Errorf("%d held, %d gave way, of 3000", held, gaveWay)
	}
}

package vserver

import (
	"encoding/binary"
	"testing"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// fuzzConfig has services of both modes, one without backends, one whose
// backends are behind a smaller MTU, one whose backend isn't resolved.
func fuzzConfig() Config {
	cfg := testConfig(NAT, RoundRobin, 2)
	cfg.AnswerRate = MaxAnswerRate
	for i, backend := range []string{"10.1.0.1", "", "10.2.0.1", "10.1.0.200"} {
		s := cfg.Services[0]
		s.Name, s.Port, s.Backends = string(rune('a'+i)), 81+uint16(i), nil
		if i%2 == 0 {
			s.Mode = DSR
		}
		if backend != "" {
			s.Backends = []BackendConfig{{Name: "b", Address: addrs(backend)[0], Weight: 1}}
		}
		cfg.Services = append(cfg.Services, s)
	}
	return cfg
}

// FuzzDecide sends any frame, twice, to a node that has one flow: nothing panics,
// every packet has a verdict and a reason, and what leaves is well-formed.
func FuzzDecide(f *testing.F) {
	n := newNode(f, fuzzConfig())
	var before []capture
	n.tap = func(in uint8, frame []byte) { before = append(before, capture{iface: int(in), data: frame}) }
	f.Add(n.dial(paths[0], 0).answer(), uint8(1), false)
	n.tap = nil
	for _, p := range paths {
		for _, flags := range []string{"S", "A", "R", "FA"} {
			f.Add(p.open(pt.Flags(flags), pt.PayloadSize(20)), uint8(0), false)
		}
		f.Add(p.open(pt.VLAN(10), pt.TTL(1)), uint8(1), true)
		f.Add(p.open(pt.PayloadSize(1450)), uint8(2), true)
		f.Add(p.open(pt.Fragment(0, true), pt.PayloadSize(16)), uint8(0), false)
	}
	for _, port := range []string{"79", "81", "82", "83", "84"} {
		f.Add(pt.TCP("192.0.2.7:1", "198.51.100.10:"+port, pt.Flags("S"), pt.PayloadSize(1400)), uint8(0), true)
	}
	f.Add(pt.Echo("192.0.2.7", "198.51.100.10"), uint8(0), false)
	f.Add(pt.Echo("2001:db8:c::7", "2001:db8:1::10", pt.HopByHop(8)), uint8(0), false)
	f.Add(paths[0].open(pt.IPOption(148, 0, 0)), uint8(0), false)
	f.Add(pt.UDP("10.1.0.1:80", "10.1.0.254:2000"), uint8(1), false)

	f.Fuzz(func(t *testing.T, frame []byte, in uint8, summed bool) {
		if len(frame) > n.arena.MaxPacket() {
			return
		}
		if summed {
			setIPv4Checksum(frame)
		}
		n.t = t
		n.renew() // or the outcome would depend on what was sent before
		defer n.handler.Close()
		for _, c := range before {
			n.one(uint8(c.iface), c.data)
		}
		for range 2 {
			judge(t, frame, n.one(in%2, frame))
		}
	})
}

// renew gives the node a Handler without flows.
func (n *testNode) renew() {
	h, err := NewHandler(HandlerConfig{Arena: n.arena, Engines: 1, Capacity: 16, Seed: 1})
	if err != nil {
		n.t.Fatal(err)
	}
	n.handler, n.held = h, map[uint32]bool{}
}

// judge fails unless the outcome is one that a frame may have.
func judge(t *testing.T, frame []byte, o outcome) {
	t.Helper()
	if o.Verdict == engine.Drop {
		if o.Reason == packet.OK || o.Reason >= packet.Reasons {
			t.Fatalf("dropped for reason %v", o.Reason)
		}
		return
	}
	if o.Verdict == engine.Hold {
		return
	}
	if o.Verdict != engine.Transmit || o.Out > serverSide || o.Reason != packet.OK {
		t.Fatalf("verdict %d, interface %d, reason %v", o.Verdict, o.Out, o.Reason)
	}
	wellFormed(t, frame, o.frame)
}

// wellFormed fails unless what left parses, and its transport checksum is right
// if that of what came in was, or it isn't the same packet any more.
func wellFormed(t *testing.T, in, out []byte) {
	t.Helper()
	var before, after packet.Info
	packet.Parse(in, &before)
	if why := packet.Parse(out, &after); why != packet.OK {
		t.Fatalf("what left is bad: %v\n%x\n%x", why, in, out)
	}
	same := before.Proto == after.Proto && before.End-before.L4 == after.End-after.L4
	if (!same || packet.VerifyL4(in, &before)) && !packet.VerifyL4(out, &after) {
		t.Fatalf("what left has a bad checksum\n%x\n%x", in, out)
	}
	if int(after.End-after.L3) > 1500 {
		t.Fatalf("what left has %d bytes", after.End-after.L3)
	}
}

// setIPv4Checksum makes the IPv4 header checksum right, if there may be one:
// otherwise hardly any mutation got past Parse.
func setIPv4Checksum(frame []byte) {
	l3 := packet.EthernetSize
	if len(frame) > l3 && binary.BigEndian.Uint16(frame[12:]) == packet.EtherTypeVLAN {
		l3 += packet.VLANSize
	}
	if len(frame) < l3+packet.IPv4Size || binary.BigEndian.Uint16(frame[l3-2:]) != packet.EtherTypeIPv4 {
		return
	}
	if ip := packet.IPv4(frame[l3:]); ip.HeaderLen() >= packet.IPv4Size && ip.HeaderLen() <= len(ip) {
		ip.UpdateChecksum()
	}
}

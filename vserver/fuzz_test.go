package vserver

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// fuzzConfig has services of all modes, one without backends, one whose
// backends are behind a smaller MTU, one whose backend isn't resolved; and one on
// several ports with limits, one on all ports of UDP that keeps clients.
func fuzzConfig() Config {
	cfg := testConfig(NAT, RoundRobin, 2)
	cfg.AnswerRate = MaxAnswerRate
	for i, backend := range []string{"10.1.0.1", "", "10.2.0.1", "10.1.0.200"} {
		s := cfg.Services[0]
		s.Name, s.Port, s.Backends = string(rune('a'+i)), PortRange(81+i), nil
		if i%2 == 0 {
			s.Mode = DSR
		}
		if backend != "" {
			s.Backends = []BackendConfig{{Name: "b", Address: addrs(backend)[0], Weight: 1}}
		}
		cfg.Services = append(cfg.Services, s)
	}
	for i, tunnel := range []struct {
		mode         Mode
		vip, backend string
	}{
		{IPIP, "198.51.100.10", "10.1.0.1"}, {IPIP, "198.51.100.10", "fd00:1::1"}, {GUE, "198.51.100.10", "10.1.0.1"}, {GUE, "198.51.100.10", "fd00:1::1"},
		{IPIP, "2001:db8:1::10", "10.1.0.1"}, {IPIP, "2001:db8:1::10", "fd00:1::1"}, {GUE, "2001:db8:1::10", "10.1.0.1"}, {GUE, "2001:db8:1::10", "fd00:1::1"},
	} {
		for _, proto := range []Protocol{TCP, UDP} {
			cfg.Services = append(cfg.Services, ServiceConfig{
				Name: fmt.Sprintf("%v-%v-%d", tunnel.mode, proto, i), VIP: addrs(tunnel.vip)[0], Port: PortRange(90 + i), Protocol: proto,
				Mode: tunnel.mode, MSSClamp: 1300, Backends: []BackendConfig{{Name: "b", Address: addrs(tunnel.backend)[0], Weight: 1}},
			})
		}
	}
	limited, all := cfg.Services[0], cfg.Services[1]
	limited.Name, limited.Port, limited.Method, limited.MaxFlows = "limited", Ports(100, 199), LeastConn, 2
	limited.OnBackendDown = Sever
	all.Name, all.Port, all.Mode, all.Method = "all", AllPorts, DSR, Maglev
	all.Persistence = Persistence{By: BySource, Timeout: time.Minute}
	cfg.Services = append(cfg.Services, limited, all)
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
	for _, port := range []string{"79", "81", "82", "83", "84", "150"} {
		f.Add(pt.TCP("192.0.2.7:1", "198.51.100.10:"+port, pt.Flags("S"), pt.PayloadSize(1400)), uint8(0), true)
	}
	for i := range 8 {
		p := paths[i/4*2+i%2]
		p.vip = p.vip[:len(p.vip)-2] + fmt.Sprint(90+i)
		f.Add(p.open(pt.PayloadSize(30), pt.MSS(1460)), uint8(0), false)
		f.Add(p.open(pt.PayloadSize(1430)), uint8(0), false)
	}
	f.Add(pt.Echo("192.0.2.7", "198.51.100.10"), uint8(0), false)
	f.Add(pt.Echo("2001:db8:c::7", "2001:db8:1::10", pt.HopByHop(8)), uint8(0), false)
	f.Add(paths[0].open(pt.IPOption(148, 0, 0)), uint8(0), false)
	f.Add(pt.UDP("10.1.0.1:80", "10.1.0.254:2000"), uint8(1), false)
	for _, p := range paths {
		f.Add(p.tooBig(p.build(p.vip, p.client)), uint8(0), false)
	}

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
	var before packet.Info
	packet.Parse(frame, &before)
	if o.Out == serverSide && o.End-o.L3 > before.End-before.L3 {
		tunnelled(t, frame, &before, o)
		return
	}
	wellFormed(t, frame, o.frame)
}

// tunnelled fails unless what left holds what came in, but for the segment size
// in a SYN, and is no longer than a packet may be. A checksum that was wrong is
// wrong outside too, where UDP over IPv6 has one.
func tunnelled(t *testing.T, in []byte, before *packet.Info, o outcome) {
	t.Helper()
	if int(o.End-o.L3) > 1500 {
		t.Fatalf("what left has %d bytes", o.End-o.L3)
	}
	sound := packet.VerifyL4(in, before)
	_, inner, err := pt.Unwrap(o.frame)
	if err != nil {
		if sound || o.Flags&packet.FlagIPv6 == 0 || o.Proto != packet.ProtoUDP {
			t.Fatalf("what left is bad: %v\n%x\n%x", err, in, o.frame)
		}
		return
	}
	wellFormed(t, in, inner)
	was, is := in[before.L3:before.L4], inner[packet.EthernetSize:][:before.L4-before.L3]
	if o.Flags&packet.FlagTagged == 0 && string(was) != string(is) {
		t.Fatalf("IP header %x became %x", was, is)
	}
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

package vserver

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// Whatever comes in, Decide allocates nothing.
func TestNoAllocations(t *testing.T) {
	p4, p6 := paths[0], paths[3]
	cfg := fuzzConfig()
	cfg.ReturnToSender = true
	cfg.Limits = Limits{NewFlows: 8, NewFlowsPerSource: 3}
	for name, frames := range map[string][][]byte{
		"new flow, then more of it": {p4.open(), p4.open(pt.Flags("A")), p4.open(pt.Flags("FA"))},
		"datagrams":                 {p6.open(), p6.open()},
		"dsr":                       {tcp("198.51.100.10:81", "S"), tcp("198.51.100.10:81", "A")},
		"port range, limits":        {tcp("198.51.100.10:150", "S"), tcp("198.51.100.10:151", "S"), tcp("198.51.100.10:152", "S")},
		"all ports, persistence":    {pt.UDP("192.0.2.7:1", "198.51.100.10:9")},
		"over the limits":           flood(),
		"ipip, 4 in 4":              {tcp("198.51.100.10:90", "S"), tcp("198.51.100.10:90", "A")},
		"gue, 4 in 6":               {pt.TCP("192.0.2.7:1", "198.51.100.10:93", pt.Flags("S"), pt.MSS(1460)), tcp("198.51.100.10:93", "A")},
		"ipip, 6 in 4":              {pt.UDP("[2001:db8:c::7]:5", "[2001:db8:1::10]:94", pt.VLAN(10))},
		"gue, 6 in 6":               {pt.UDP("[2001:db8:c::7]:5", "[2001:db8:1::10]:97", pt.PayloadSize(999))},
		"gue, too big":              {pt.UDP("[2001:db8:c::7]:5", "[2001:db8:1::10]:97", pt.PayloadSize(1440))},
		"no service":                {tcp("198.51.100.10:79", "S")},
		"no backend":                {tcp("198.51.100.10:82", "S")},
		"no flow":                   {p4.from(9).open(pt.Flags("A"))},
		"no neighbour":              {tcp("198.51.100.10:84", "S")},
		"too big":                   {pt.TCP("192.0.2.7:1", "198.51.100.10:83", pt.PayloadSize(1440))},
		"TTL":                       {p6.open(pt.TTL(1))},
		"VLANs":                     {p4.open(pt.VLAN(10))},
		"ping":                      {pt.Echo("192.0.2.7", "198.51.100.10"), pt.Echo("2001:db8:c::7", "2001:db8:1::10")},
		"return without flow":       {pt.TCP("10.1.0.1:80", "10.1.0.254:4000")},
		"another station's":         {p4.open(pt.MACs(routerMAC, routerMAC)), p4.open(pt.VLAN(11))},
		"wrong plane":               {pt.TCP("10.1.0.1:80", "10.1.0.254:4001")},
		"ICMP errors of no flow":    {p4.tooBig(pt.TCP(p4.vip, p4.client)), p6.tooBig(pt.UDP("[fd00:1::254]:4000", "[fd00:1::1]:80"))},
		"ICMP errors in dsr":        {p4.tooBig(pt.TCP("198.51.100.10:81", p4.client))},
		"fragment":                  {p6.open(pt.Fragment(0, true), pt.PayloadSize(16))},
		"fragments, first last":     {p6.open(pt.Fragment(24, false), pt.PayloadSize(9)), p6.open(pt.Fragment(0, true), pt.PayloadSize(16))},
		"fragments that overlap":    {p6.open(pt.Fragment(0, true), pt.PayloadSize(16)), p6.open(pt.Fragment(16, true), pt.PayloadSize(16))},
		"fragments in vain":         {p4.open(pt.Fragment(64, true), pt.PayloadSize(16))},
		"nobody's":                  {pt.UDP("192.0.2.7:1", "198.51.100.99:1")},
	} {
		n := newNode(t, cfg)
		batch := make([]engine.Packet, len(frames))
		for i, f := range frames {
			frames[i] = toNode(clientSide, f)
		}
		if got := testing.AllocsPerRun(20, func() {
			for i, f := range frames {
				p := &batch[i]
				*p = engine.Packet{Segment: engine.Segment{Frame: uint32(i), Off: engine.Headroom, Len: uint16(len(f))}}
				copy(n.arena.Bytes(p.Segment), f)
				packet.Parse(f, &p.Info)
				p.Hash = uint32(i)
			}
			n.now += 1e9
			n.handler.Decide(&n.snapshot, n.now, batch)
			n.handler.Housekeep(&n.snapshot, n.now)
			n.handler.Decide(&n.snapshot, n.now, batch[:n.handler.Release(batch)])
		}); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func tcp(to, flags string) []byte { return pt.TCP("192.0.2.7:40000", to, pt.Flags(flags)) }

// Errors about flows are passed on without allocating, both ways.
func TestNoAllocationsOfErrors(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 2))
	var ready, batch []engine.Packet
	var frames [][]byte
	for i, p := range paths {
		for _, way := range n.dial(p, i).passages(pt.PayloadSize(40)) {
			f := toNode(way.side, p.tooBig(way.out))
			ready = append(ready, n.place(uint32(len(frames)), way.side, f))
			frames = append(frames, f)
		}
	}
	batch = append(batch, ready...)
	if got := testing.AllocsPerRun(20, func() {
		copy(batch, ready)
		for i, f := range frames {
			copy(n.arena.Bytes(batch[i].Segment), f)
		}
		n.handler.Decide(&n.snapshot, n.now, batch)
		for i := range batch {
			if batch[i].Verdict != engine.Transmit {
				t.Fatalf("dropped: %v", batch[i].Reason)
			}
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// A return packet's way is the busiest; it must not allocate either.
func TestNoAllocationsOnTheWayBack(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 2))
	var batch []engine.Packet
	var frames [][]byte
	for i, p := range paths {
		frame := toNode(serverSide, n.dial(p, i).answer(pt.Flags("A")))
		frames = append(frames, frame)
		batch = append(batch, n.place(uint32(i), serverSide, frame))
	}
	ready := append([]engine.Packet(nil), batch...)
	if got := testing.AllocsPerRun(20, func() {
		copy(batch, ready)
		for i, f := range frames {
			copy(n.arena.Bytes(batch[i].Segment), f)
		}
		n.handler.Decide(&n.snapshot, n.now, batch)
		for i := range batch {
			if batch[i].Verdict != engine.Transmit {
				t.Fatalf("dropped: %v", batch[i].Reason)
			}
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// These are called for every packet, most of them several times.
func TestInlining(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m=1", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range []string{
		"destination", "source", "forwardKey", "returnKey", "drop", "begins", "portTag",
		"(*index).find", "(*hopCache).noted", "ttl", "(*service).byHash", "(*limiter).open", "(*admission).admit", "(*Handler).fits", "(*Services).severed", "(*service).clamp", "entropy", "(*counters).packet",
	} {
		if !strings.Contains(string(out), fmt.Sprintf("can inline %s\n", f)) {
			t.Errorf("%s is not inlined any more", f)
		}
	}
}

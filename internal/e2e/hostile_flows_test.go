package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"testing"

	pt "appliance/engine/packet/packettest"
	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/rss"
)

// Segments that claim to belong to a connection but don't know where it stands
// must not end it, whichever side they claim to be from.
func TestForgedSegments(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	v := newTarget(t, l, lab.NodeOptions{Engine: small})
	for _, c := range v.honest {
		local, vip := c.c.LocalAddr().String(), c.c.RemoteAddr().String()
		w, err := v.process.Where(t.Context(), "tcp", local, vip)
		if err != nil || w.State != "established" {
			t.Fatalf("record of %s: %+v, %v", local, w, err)
		}
		backend := v.backend(t, w.Backend, w.Source.Addr().Is6())
		// No SYN comes behind a forged end: that is how a server that has closed is
		// told from one that hasn't, and is deceived once in 256 times (flows.Record.Track).
		for _, flags := range []string{"S", "SA", "A", "PAU", "FA", "F", "FPU", "R", "RA"} {
			blind := []pt.Option{pt.Flags(flags), pt.SeqAck(1, 1), pt.Payload([]byte("forged"))}
			v.hit(t, []hostile{
				{flags + " of the client " + local, "", pt.TCP(local, vip, blind...), forwarded},
				{flags + " of the backend " + backend, lab.ServerPlane, pt.TCP(backend, w.Source.String(), blind...), forwarded},
			})
		}
	}
}

// backend returns where a backend's echo server is.
func (v *target) backend(t *testing.T, name string, six bool) string {
	t.Helper()
	for _, b := range v.lab.Backends {
		if b.Host() != name {
			continue
		}
		if six {
			return at(b.Addr.V6, origin.EchoPort)
		}
		return at(b.Addr.V4, origin.EchoPort)
	}
	t.Fatalf("no backend %q", name)
	return ""
}

// Floods cost what they cost, but nobody else's connection, no memory, and no
// frame.
func TestFloods(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	v := newTarget(t, l, lab.NodeOptions{Engine: map[string]string{"flow_capacity": "256"}})
	before := v.memory(t)
	flood := func(n int, frame func(i int) []byte) [][]byte {
		all := make([][]byte, n)
		for i := range all {
			all[i] = frame(i)
		}
		return all
	}
	stranger := func(i int) string { return fmt.Sprintf("198.18.%d.%d", i>>8, i&0xff) }

	// More fragments without a first one than may wait for it.
	v.send(t, lab.ClientPlane, flood(2000, func(i int) []byte {
		return v.datagram4(pt.ID(uint16(i)), pt.PayloadSize(8+8*(i%64)), pt.Fragment(8+8*(i%100), true))
	}))
	v.unharmed(t, "fragments")
	eventually(t, "all fragments are given up", func() bool {
		d := status(t, v.process).Totals.Dropped
		return d["fragment_table_full"] > 0 && d["fragment_orphan"] > 0 && d["fragment_table_full"]+d["fragment_orphan"] == 2000
	})
	v.strike(t, "pings", "", flood(1000, func(i int) []byte { return pt.Echo(stranger(i), v.vip4(0)) }), ponged)
	v.strike(t, "neighbours that aren't there", "", flood(100, func(i int) []byte {
		return pt.Echo(fmt.Sprintf("10.2.66.%d", i+1), v.vip4(0))
	}), "no_neighbour")

	// A flow table ten times too small for it. What half-open flows leave behind
	// is dropped when the backends answer.
	v.send(t, lab.ClientPlane, flood(2500, func(i int) []byte {
		return pt.TCP(fmt.Sprintf("%s:%d", stranger(i), 1024+i), v.vip4(origin.HTTPPort), pt.Flags("S"), pt.SeqAck(uint32(i), 0))
	}))
	v.unharmed(t, "SYNs")
	if s := status(t, v.process); s.Totals.Flows > 256 || s.Totals.Dropped["flow_table_full"] > 0 {
		t.Errorf("after a flood of SYNs: %d flows; dropped: %v", s.Totals.Flows, s.Totals.Dropped)
	}
	works(t, l)

	// Answers have a rate, beyond which the appliance is silent.
	s := counters(status(t, v.process), lab.ClientPlane)
	v.send(t, lab.ClientPlane, flood(3000, func(i int) []byte {
		return pt.TCP(stranger(i)+":4000", v.vip4(10000+i), pt.Flags("S"))
	}))
	eventually(t, "every SYN is answered or not", func() bool {
		moved := moves(s, counters(status(t, v.process), lab.ClientPlane))
		return moved["rate_limited"] > 0 && moved["rate_limited"]+moved[answered("no_service")] == 3000
	})
	v.unharmed(t, "a port scan")
	v.steady(t, before)
}

// Services that have nothing to give, and a flow table with little room.
const limits = `
[answers]
on_no_service = "silence"
rate = 1

[[vserver]]
name = "empty"
vip = "%[1]s"
port = 81
[[vserver.backend]]
name = "b1"
address = "%[2]s"
weight = 0

[[vserver]]
name = "hush"
vip = "%[1]s"
port = 82
on_no_backend = "silence"
on_no_flow = "silence"
[[vserver.backend]]
name = "b1"
address = "%[2]s"
weight = 0
`

// What a configuration or a full table refuses is counted by its reason.
func TestLimits(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 1, IPv6: true})
	v := newTarget(t, l, lab.NodeOptions{
		Engine: map[string]string{"flow_capacity": "64"},
		Extra:  fmt.Sprintf(limits, l.VIPs[0].V4, l.Backends[0].Addr.V4),
	})
	segment := func(port int, flags string) []byte { return pt.TCP(hostile4+":4000", v.vip4(port), pt.Flags(flags)) }
	v.hit(t, []hostile{
		{"no service, in silence", "", segment(9, "S"), "silent"},
		{"no service, in silence, UDP over IPv6", "", pt.UDP("["+hostile6+"]:4000", v.vip6(9)), "silent"},
		{"no backend, in silence", "", segment(82, "S"), "silent"},
		{"no flow, in silence", "", segment(82, "A"), "silent"},
		{"no backend, damaged", "", flip(segment(81, "S"), l4At4+16), "no_backend"},
	})
	// One answer a second: the first may still be due.
	v.send(t, lab.ClientPlane, [][]byte{segment(81, "S")})
	eventually(t, "the rate is used up", func() bool {
		v.send(t, lab.ClientPlane, [][]byte{segment(81, "S")})
		return status(t, v.process).Totals.Dropped["rate_limited"] > 0
	})
	t.Run("source ports", v.sourcePorts)
	t.Run("flow table", v.flowTable)
}

// sourcePorts opens more flows of one bucket to one backend than there are
// source ports for.
func (v *target) sourcePorts(t *testing.T) {
	const buckets = 4096
	hasher := rss.NewHasher(v.key(t))
	ports, err := rss.NewPorts(hasher, false, buckets)
	if err != nil {
		t.Fatal(err)
	}
	client := netip.MustParseAddr(hostile4)
	hash := func(port int) uint32 {
		return hasher.IPv4(pair(client, v.lab.VIPs[0].V4), uint32(port)<<16|origin.EchoPort)
	}
	bucket := hash(5000) % buckets

	room := 0
	fixed := hasher.IPv4(pair(v.lab.Backends[0].Addr.V4, v.lab.Nodes[0].SNIP.V4), origin.EchoPort<<16)
	for i := range ports.Len() {
		if ports.Candidate(fixed^bucket, i) >= 1024 {
			room++
		}
	}
	var frames [][]byte
	for port := 1024; port < 1<<16; port++ {
		if hash(port)%buckets == bucket {
			frames = append(frames, pt.UDP(fmt.Sprintf("%s:%d", hostile4, port), v.vip4(origin.EchoPort)))
		}
	}
	other := netip.MustParseAddr("198.18.0.2")
	for port := 1024; len(frames) < 2*room && port < 1<<16; port++ {
		if hasher.IPv4(pair(other, v.lab.VIPs[0].V4), uint32(port)<<16|origin.EchoPort)%buckets == bucket {
			frames = append(frames, pt.UDP(fmt.Sprintf("%s:%d", other, port), v.vip4(origin.EchoPort)))
		}
	}
	v.strike(t, "as many as there are ports", "", frames[:room], forwarded)
	eventually(t, "all are answered", func() bool { // those that aren't would give way
		for _, s := range status(t, v.process).Services {
			if s.Name == "udp4" {
				return s.Packets >= 2*uint64(room)
			}
		}
		return false
	})
	v.strike(t, "as many go on", "", frames[:room], forwarded) // single questions would give way
	v.strike(t, "more", "", frames[room:], "no_source_port")
	v.strike(t, "known flows, again", "", frames[:room], forwarded)
}

// key returns the RSS key of the node.
func (v *target) key(t *testing.T) rss.Key {
	t.Helper()
	text, err := v.lab.Nodes[0].Config(lab.NodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := rss.ParseKey(regexp.MustCompile(`key = "(.*)"`).FindStringSubmatch(text)[1])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pair returns two addresses as they stand in an IPv4 header.
func pair(a, b netip.Addr) uint64 {
	return binary.BigEndian.Uint64(append(a.AsSlice(), b.AsSlice()...))
}

// flowTable fills the table with flows in use, which give way to no other. All
// is IPv6: sourcePorts has used up a bucket of IPv4, and a client's port may be
// any.
func (v *target) flowTable(t *testing.T) {
	var open []net.Conn
	before := counters(status(t, v.process), lab.ClientPlane)
	for s := status(t, v.process); s.Totals.Flows < 64; s = status(t, v.process) {
		c := dial(t, v.lab, "udp", v.lab.VIPs[0].V6, origin.EchoPort)
		for range 2 { // a single question would give way
			if _, err := ask(c, "room?"); err != nil {
				t.Fatalf("with %d flows: %v; counted since: %v", s.Totals.Flows, err, moves(before, counters(status(t, v.process), lab.ClientPlane)))
			}
		}
		open = append(open, c)
	}
	v.hit(t, []hostile{
		{"datagram to a full table", "", v.datagram6(), "flow_table_full"},
		{"SYN to a full table", "", v.syn6(), "flow_table_full"},
	})
	for _, c := range open {
		if _, err := ask(c, "still there?"); err != nil {
			t.Errorf("a flow was given up for others: %v", err)
		}
	}
}

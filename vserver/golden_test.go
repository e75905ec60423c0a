package vserver

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

var update = flag.Bool("update", false, "write testdata anew from what the scripts and the code do now")

// A golden case is a directory under testdata: a configuration, the frames that
// come in, those that leave, and the counters in the end. To look at one:
// tcpdump -nr testdata/nat_tcp/out.pcapng. Interface 0 is the clients' side.
//
// The scripts are for -update only; without it, the files alone say what must
// happen.
var goldens = map[string]struct {
	config Config
	script func(*testNode)
}{
	"nat_tcp": {testConfig(NAT, Maglev, 3), func(n *testNode) {
		for i, p := range []path{paths[0], paths[2]} {
			c := n.dial(p, i)
			n.one(clientSide, c.p.open(pt.Flags("PA"), pt.SeqAck(1, 101), pt.Payload([]byte("GET / HTTP/1.0\r\n\r\n"))))
			n.one(serverSide, c.answer(pt.Flags("PA"), pt.SeqAck(101, 19), pt.Payload([]byte("HTTP/1.0 204 No Content\r\n\r\n"))))
			n.one(serverSide, c.answer(pt.Flags("FA"), pt.SeqAck(128, 19)))
			n.one(clientSide, c.p.open(pt.Flags("FA"), pt.SeqAck(19, 129)))
			n.one(serverSide, c.answer(pt.Flags("A"), pt.SeqAck(129, 20)))
			n.one(clientSide, c.p.open(pt.SeqAck(20, 0))) // the port again: another connection
		}
	}},
	"nat_udp": {testConfig(NAT, RoundRobin, 2), func(n *testNode) {
		for i := range 4 {
			c := conn{n: n, p: paths[1+i%2*2].from(i)}
			opts := []pt.Option{pt.Payload([]byte("question"))}
			if i == 0 {
				opts = append(opts, pt.NoChecksum())
			}
			c.snip, c.backend = ends(n.t, n.one(clientSide, c.p.open(opts...)).frame)
			n.one(serverSide, c.answer(pt.Payload([]byte("answer"))))
		}
	}},
	"dsr": {testConfig(DSR, Maglev, 3), func(n *testNode) {
		for i, p := range paths {
			n.one(clientSide, p.from(i).open(pt.VLAN(10), pt.Priority(5)))
			n.one(clientSide, p.from(i).open(pt.Flags("A"), pt.TTL(1)))
			n.one(clientSide, p.from(i).open(pt.Flags("FA")))
		}
	}},
	"fragments": {testConfig(NAT, Maglev, 2), func(n *testNode) {
		for i, p := range []path{paths[1], paths[3]} {
			c := conn{n: n, p: p.from(i)}
			pieces := pt.Cut(c.p.open(pt.Payload([]byte("a question of twenty-nine bytes"))), 77, 16, 24)
			for _, at := range []int{2, 1, 1, 0, 1} { // backwards, and the middle one thrice
				n.one(clientSide, pieces[at])
			}
			c.snip, c.backend = ends(n.t, n.one(clientSide, c.p.open()).frame)
			for _, piece := range pt.Cut(c.answer(pt.Payload([]byte("an answer"))), 77, 8) {
				n.one(serverSide, piece)
			}
			pieces = pt.Cut(c.p.open(pt.PayloadSize(40)), 78, 24)
			n.one(clientSide, pieces[0])
			n.one(clientSide, pt.Cut(c.p.open(pt.PayloadSize(40)), 78, 16, 32)[1]) // overlaps
			n.one(clientSide, pieces[1])
		}
	}},
	"ipip":       {testConfig(IPIP, Maglev, 3), tunnelScript},
	"ipip_cross": {crossed(testConfig(IPIP, Maglev, 3)), tunnelScript},
	"gue":        {testConfig(GUE, Maglev, 3), tunnelScript},
	"gue_cross":  {crossed(testConfig(GUE, Maglev, 3)), tunnelScript},
	"vlan": {vlanConfig(), func(n *testNode) {
		p := paths[0]
		p.client = "192.0.10.1:5000"
		c := conn{n: n, p: p}
		c.snip, c.backend = ends(n.t, n.one(clientSide, p.open(pt.VLAN(10))).frame)
		n.one(serverSide, c.answer(pt.Flags("SA"), pt.VLAN(20), pt.Priority(2)))
		n.one(clientSide, p.open(pt.Flags("A"), pt.VLAN(10), pt.PayloadSize(1380))) // VLAN 20 has an MTU of 1400
	}},
	"refusals": {fuzzConfig(), func(n *testNode) {
		n.one(clientSide, tcp("198.51.100.10:79", "S"))
		n.one(clientSide, pt.UDP("[2001:db8:c::7]:5", "[2001:db8:1::10]:79", pt.PayloadSize(1300)))
		n.one(clientSide, tcp("198.51.100.10:82", "S"))
		n.one(clientSide, tcp("198.51.100.10:84", "S"))
		n.one(clientSide, tcp("198.51.100.10:80", "A"))
		n.one(clientSide, tcp("198.51.100.10:80", "R"))
		n.one(clientSide, paths[0].open(pt.TTL(1)))
		n.one(clientSide, paths[3].open(pt.TTL(1)))
		n.one(clientSide, pt.Echo("192.0.2.7", "198.51.100.10", pt.EchoID(1, 2), pt.PayloadSize(56)))
		n.one(clientSide, pt.Echo("2001:db8:c::7", "2001:db8:1::10", pt.EchoID(1, 2), pt.PayloadSize(56)))
		n.one(clientSide, pt.Echo("192.0.2.7", "198.51.100.10", pt.Fragment(0, true), pt.PayloadSize(16)))
		n.one(serverSide, pt.TCP("10.1.0.1:80", "10.1.0.254:4000"))
		n.one(clientSide, tcp("198.51.100.77:80", "S"))
	}},
	"icmp": {errorConfig(), func(n *testNode) {
		for i, p := range paths {
			c := n.dial(p, i)
			for _, way := range c.passages(pt.PayloadSize(60)) {
				n.one(way.side, c.p.tooBig(way.out))
				n.one(way.side, c.p.aboutQuote(p.troubles()[3], way.out[ipAt:][:headerSize(p)+8])) // as RFC 792 wants it
			}
			direct := p.from(i)
			direct.vip = direct.vip[:len(direct.vip)-2] + "81"
			n.one(clientSide, direct.open())
			n.one(clientSide, p.tooBig(direct.build(direct.vip, direct.client, pt.PayloadSize(60))))
			n.one(clientSide, p.tooBig(direct.build(direct.vip, p.from(9).client))) // without a record
			n.one(clientSide, p.tooBig(p.build(p.vip, p.from(9).client)))           // of no flow
			n.one(clientSide, damaged(p.tooBig(p.build(p.vip, c.p.client))))
		}
	}},
}

// tunnelScript is clients of both families and protocols, with tags, marks and
// lengths of all sorts.
func tunnelScript(n *testNode) {
	for i, p := range paths {
		n.one(clientSide, p.from(i).open(pt.MSS(1460), pt.TOS(0xba)))
		n.one(clientSide, p.from(i).open(pt.Flags("PA"), pt.TTL(1), pt.VLAN(10), pt.Priority(5), pt.PayloadSize(101)))
		n.one(clientSide, p.from(i).open(pt.Flags("A"), pt.PayloadSize(1388)))
		n.one(clientSide, p.from(i).open(pt.Flags("A"), pt.PayloadSize(1480), pt.DontFragment())) // never fits
		n.one(clientSide, p.from(i).open(pt.Flags("FA")))
	}
}

func vlanConfig() Config {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.Services[0].Backends[0].Address = addrs("10.2.0.1")[0]
	return cfg
}

// errorConfig has a service in dsr on port 81 beside each one in nat.
func errorConfig() Config {
	cfg := testConfig(NAT, Maglev, 3)
	for _, s := range testConfig(DSR, Maglev, 3).Services {
		s.Name, s.Port = s.Name+"-dsr", 81
		cfg.Services = append(cfg.Services, s)
	}
	return cfg
}

// headerSize is the length of an IP header of the path's packets.
func headerSize(p path) int {
	if p.v6() {
		return packet.IPv6Size
	}
	return packet.IPv4Size
}

func TestGolden(t *testing.T) {
	if *update {
		for name, g := range goldens {
			record(t, filepath.Join("testdata", name), g.config, g.script)
		}
	}
	dirs, err := filepath.Glob("testdata/*/config.json")
	if err != nil || len(dirs) != len(goldens) {
		t.Fatalf("%d cases in testdata, want %d (%v)", len(dirs), len(goldens), err)
	}
	for _, dir := range dirs {
		dir = filepath.Dir(dir)
		t.Run(filepath.Base(dir), func(t *testing.T) { replay(t, dir) })
	}
}

// A capture is a frame in a pcapng file.
type capture struct {
	at    time.Time
	iface int
	data  []byte
}

// record runs a script and writes down what it did.
func record(t *testing.T, dir string, cfg Config, script func(*testNode)) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(cfg, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t, cfg)
	var in []capture
	n.tap = func(iface uint8, frame []byte) {
		n.now += int64(time.Millisecond)
		in = append(in, capture{time.Unix(0, n.now), int(iface), frame})
	}
	script(n)
	out, counters := run(t, cfg, in)
	write(t, filepath.Join(dir, "config.json"), append(text, '\n'))
	write(t, filepath.Join(dir, "counters"), []byte(counters))
	writeCapture(t, filepath.Join(dir, "in.pcapng"), in)
	writeCapture(t, filepath.Join(dir, "out.pcapng"), out)
}

// replay runs a case's frames and compares.
func replay(t *testing.T, dir string) {
	var cfg Config
	if err := json.Unmarshal(read(t, filepath.Join(dir, "config.json")), &cfg); err != nil {
		t.Fatal(err)
	}
	out, counters := run(t, cfg, readCapture(t, filepath.Join(dir, "in.pcapng")))
	if want := string(read(t, filepath.Join(dir, "counters"))); counters != want {
		t.Errorf("counters:\n%swant:\n%s", counters, want)
	}
	want := readCapture(t, filepath.Join(dir, "out.pcapng"))
	if len(out) != len(want) {
		t.Fatalf("%d frames left, want %d", len(out), len(want))
	}
	for i, o := range out {
		if w := want[i]; o.iface != w.iface || string(o.data) != string(w.data) || !o.at.Equal(w.at) {
			t.Errorf("frame %d at %v left interface %d, want %d at %v:\n%x\nwant\n%x", i+1, o.at, o.iface, w.iface, w.at, o.data, w.data)
		}
	}
}

// run is what a case tests: frames in, frames and counters out.
func run(t *testing.T, cfg Config, in []capture) (out []capture, counters string) {
	n := newNode(t, cfg)
	var dropped [packet.Reasons]uint64
	for _, c := range in {
		n.now = c.at.UnixNano()
		for _, o := range append([]outcome{n.one(uint8(c.iface), c.data)}, n.release()...) {
			switch o.Verdict {
			case engine.Drop:
				dropped[o.Reason]++
			case engine.Transmit:
				out = append(out, capture{c.at, int(o.Out), o.frame})
			}
		}
	}
	var b strings.Builder
	h := n.handler.Counters()
	for _, list := range []struct {
		name   string
		counts [packet.Reasons]uint64
	}{{"dropped", dropped}, {"answered", h.Answers}} {
		for why, count := range list.counts {
			if count > 0 {
				fmt.Fprintf(&b, "%s %v %d\n", list.name, packet.Reason(why), count)
			}
		}
	}
	fmt.Fprintf(&b, "pings %d\n", h.Pings)
	if h.Errors > 0 {
		fmt.Fprintf(&b, "errors %d\n", h.Errors)
	}
	for _, r := range n.services().Report([]*Counters{h}) {
		for _, be := range r.Backends {
			fmt.Fprintf(&b, "%s/%s %+v\n", r.Config.Name, be.Config.Name, be.Traffic)
		}
	}
	return out, b.String()
}

func writeCapture(t *testing.T, file string, frames []capture) {
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	side := pcapgo.NgInterface{Name: "clients", LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}
	w, err := pcapgo.NewNgWriterInterface(f, side, pcapgo.NgWriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	side.Name = "servers"
	if _, err := w.AddInterface(side); err != nil {
		t.Fatal(err)
	}
	for _, c := range frames {
		info := gopacket.CaptureInfo{Timestamp: c.at, Length: len(c.data), CaptureLength: len(c.data), InterfaceIndex: c.iface}
		if err := w.WritePacket(info, c.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

func readCapture(t *testing.T, file string) (frames []capture) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, capture{info.Timestamp, info.InterfaceIndex, data})
	}
}

func read(t *testing.T, file string) []byte {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, file string, data []byte) {
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

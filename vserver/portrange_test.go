package vserver

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

func TestPortRangeText(t *testing.T) {
	for _, tc := range []struct {
		text, want string // want: as String has it; empty: refused
	}{
		{"80", "80"}, {"1", "1"}, {"65535", "65535"}, {"0", "0"},
		{"8000-8099", "8000-8099"}, {"80-80", "80"}, {"1-65534", "1-65534"}, {"2-65535", "2-65535"},
		{"*", "*"}, {"1-65535", "*"},
		{"", ""}, {"-", ""}, {"80-", ""}, {"-80", ""}, {"90-80", ""}, {"0-80", ""}, {"80-65536", ""}, {"65536", ""},
		{" 80", ""}, {"80 - 90", ""}, {"80-90-100", ""}, {"+80", ""}, {"all", ""}, {"**", ""},
	} {
		var r PortRange
		err := r.UnmarshalText([]byte(tc.text))
		if tc.want == "" {
			if err == nil || !strings.Contains(err.Error(), `give 1 to 65535, a range like "8000-8099", or "*"`) {
				t.Errorf("%q: %v, error %v", tc.text, r, err)
			}
			continue
		}
		if err != nil || r.String() != tc.want {
			t.Errorf("%q: %v, error %v; want %s", tc.text, r, err, tc.want)
		}
	}
}

// A range that is written down is read back, as text and as JSON.
func TestPortRangeRoundTrips(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first := rapid.Uint16Min(1).Draw(rt, "first")
		r := Ports(first, rapid.Uint16Min(first).Draw(rt, "last"))
		if !r.valid() {
			rt.Fatalf("%v is not valid", r)
		}
		var text, object PortRange
		if err := text.UnmarshalText([]byte(r.String())); err != nil || text != r {
			rt.Fatalf("%v became %v (%v)", r, text, err)
		}
		data, err := json.Marshal(r)
		if err != nil || json.Unmarshal(data, &object) != nil || object != r {
			rt.Fatalf("%v became %s and %v (%v)", r, data, object, err)
		}
		if _, one := r.One(); one == (data[0] == '"') {
			rt.Fatalf("%v is %s in JSON", r, data)
		}
	})
	for _, r := range []PortRange{0, Ports(0, 9), 65535<<16 | 1, 1<<16 | 65535} {
		if r.valid() {
			t.Errorf("%#x is valid", uint32(r))
		}
	}
}

// Among ranges that don't overlap, find answers as a search of all does.
func TestPortSpansAgainstScan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ranges := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) PortRange {
			first := rapid.Uint16Range(1, 300).Draw(rt, "first")
			return Ports(first, first+rapid.Uint16Range(0, 40).Draw(rt, "more"))
		}), 0, 30).Draw(rt, "ranges")
		var s portSpans
		var kept []PortRange
		for _, r := range ranges {
			overlaps := false
			for _, k := range kept {
				overlaps = overlaps || r.First() <= k.Last() && k.First() <= r.Last()
			}
			if _, meets := s.meets(r.First(), r.Last()); meets != overlaps {
				rt.Fatalf("%v meets one of %v: %v, want %v", r, kept, meets, overlaps)
			}
			if !overlaps {
				s.add(r, uint32(len(kept)))
				kept = append(kept, r)
			}
		}
		all := rapid.Bool().Draw(rt, "all")
		if all {
			s.add(AllPorts, 99)
		}
		for port := range uint16(400) {
			want, there := uint32(99), all
			for i, r := range kept {
				if r.First() <= port && port <= r.Last() {
					want, there = uint32(i), true
				}
			}
			if got, ok := s.find(port); ok != there || ok && got != want {
				rt.Fatalf("port %d of %v: %d, %v; want %d, %v", port, kept, got, ok, want, there)
			}
		}
	})
}

// rangesConfig has three services of each protocol and family: port 80, ports
// 8000 to 8099 and all ports, each with a backend of its own, and on each VIP
// nothing else.
func rangesConfig(mode Mode) Config {
	cfg := testConfig(mode, Maglev, 3)
	var all []ServiceConfig
	for _, s := range cfg.Services {
		for i, ports := range []PortRange{80, Ports(8000, 8099), AllPorts} {
			one := s
			one.Name, one.Port, one.Backends = fmt.Sprint(s.Name, i), ports, s.Backends[i:i+1]
			all = append(all, one)
		}
	}
	cfg.Services = all
	return cfg
}

// The port alone beats a range, a range beats all ports; backends without a
// port of their own are asked on the client's, and answers come from there.
func TestPortRangesServe(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		n := newNode(t, rangesConfig(mode))
		for _, tc := range []struct {
			port    uint16
			backend byte
		}{
			{80, 1}, {8000, 2}, {8042, 2}, {8099, 2}, {7999, 3}, {8100, 3}, {1, 3}, {65535, 3}, {81, 3},
		} {
			for _, p := range paths {
				vip := netip.AddrPortFrom(netip.MustParseAddrPort(p.vip).Addr(), tc.port)
				p.vip = vip.String()
				out := n.one(clientSide, p.open()).sent(t, serverSide)
				pt.Check(t, out.frame, pt.WantMACs(nodeMAC1, backendMAC(tc.backend)))
				snip, backend := ends(t, out.frame)
				if backend.Port() != tc.port {
					t.Errorf("%v %s port %d: left for port %d", mode, p.name, tc.port, backend.Port())
				}
				if mode == DSR {
					continue
				}
				answer := p.build(backend.String(), snip.String(), pt.Flags("SA"), pt.SeqAck(100, 1))
				pt.Check(t, n.one(serverSide, answer).sent(t, clientSide).frame, pt.WantSrc(p.vip), pt.WantDst(p.client))
				n.one(clientSide, p.open(pt.Flags("A"), pt.SeqAck(1, 101))).sent(t, serverSide)
			}
		}
	}
}

// A backend's own port takes the flows to all ports of a range.
func TestPortRangeToOnePort(t *testing.T) {
	cfg := rangesConfig(NAT)
	cfg.Services[1].Backends[0].Port = 9000
	n := newNode(t, cfg)
	for i := range 100 {
		p := paths[0].from(i)
		p.vip = fmt.Sprintf("198.51.100.10:%d", 8000+i)
		snip, backend := ends(t, n.one(clientSide, p.open()).sent(t, serverSide).frame)
		if backend.Port() != 9000 {
			t.Fatalf("left for %v", backend)
		}
		answer := pt.TCP(backend.String(), snip.String(), pt.Flags("SA"), pt.SeqAck(100, 1))
		pt.Check(t, n.one(serverSide, answer).sent(t, clientSide).frame, pt.WantSrc(p.vip), pt.WantDst(p.client))
	}
}

// Protocols have ranges of their own, and where no range has a port, nobody
// serves it.
func TestPortRangesOfOneProtocol(t *testing.T) {
	cfg := rangesConfig(NAT)
	cfg.Services = cfg.Services[1:2]
	n := newNode(t, cfg)
	n.one(clientSide, pt.TCP("192.0.2.7:1", "198.51.100.10:8000", pt.Flags("S"))).sent(t, serverSide)
	for _, tc := range []struct {
		build func(src, dst string, opts ...pt.Option) []byte
		port  int
	}{{pt.UDP, 8000}, {pt.TCP, 7999}, {pt.TCP, 8100}} {
		to := fmt.Sprint("198.51.100.10:", tc.port)
		n.one(clientSide, tc.build("192.0.2.7:1", to, pt.Flags("S"))).sent(t, clientSide)
	}
	if got := n.handler.Counters().Answers[packet.NoService]; got != 3 {
		t.Errorf("%d refused for want of a service, want 3", got)
	}
}

// A service keeps its slot, and its flows, when ports beside its own come and
// go; one whose range changes is another.
func TestPortRangesReload(t *testing.T) {
	cfg := rangesConfig(NAT)
	n := newNode(t, cfg)
	p := paths[0]
	p.vip = "198.51.100.10:8042"
	c := n.dial(p, 0)
	n.load(rangesConfig(NAT))
	c.intact()
	cfg.Services = cfg.Services[1:]
	n.load(cfg)
	c.intact()
	cfg.Services[0].Port = Ports(8000, 8098)
	n.load(cfg)
	c.over()
}

func TestWherePortRange(t *testing.T) {
	n := newNode(t, rangesConfig(NAT))
	tuple := Tuple{netip.MustParseAddrPort("192.0.2.7:40000"), netip.MustParseAddrPort("198.51.100.10:8042"), TCP}
	e := n.services().Where(n.snapshot.Hasher, n.snapshot.Cores, tuple)
	if e.Service == nil || e.Service.Name != "tcp41" || e.Backend == nil || e.Backend.Name != "b2" {
		t.Errorf("%+v", e)
	}
	n.one(clientSide, pt.TCP(tuple.Client.String(), tuple.VIP.String(), pt.Flags("S"))).sent(t, serverSide)
	if f, ok := n.handler.Find(n.snapshot.Hasher, tuple); !ok || f.Backend.Name != "b2" {
		t.Errorf("found %+v, %v", f, ok)
	}
}

func TestValidatePorts(t *testing.T) {
	for _, tc := range []struct {
		ports []PortRange
		path  string // of what is wrong; empty: nothing
		other string
		says  string
	}{
		{[]PortRange{80, Ports(80, 90), AllPorts, Ports(91, 99), 85, Ports(70, 79)}, "", "", ""},
		{[]PortRange{Ports(80, 90), Ports(90, 99)}, "vserver[1].port", "vserver[0].port", "90-99 overlaps the ports of vserver[0]"},
		{[]PortRange{Ports(85, 86), Ports(80, 90)}, "vserver[1].port", "vserver[0].port", "overlaps"},
		{[]PortRange{Ports(80, 90), Ports(80, 90)}, "vserver[1].port", "vserver[0].port", "overlaps"},
		{[]PortRange{AllPorts, 80, AllPorts}, "vserver[2].vip", "vserver[0].vip", "port * is served by vserver[0] already"},
		{[]PortRange{80, 81, 80}, "vserver[2].vip", "vserver[0].vip", "port 80 is served by vserver[0] already"},
		{[]PortRange{1<<16 | 65535}, "vserver[0].port", "", "65535 and 1 more: give 1 to 65535"},
	} {
		cfg := testConfig(NAT, Maglev, 1)
		one := cfg.Services[0]
		cfg.Services = nil
		for i, r := range tc.ports {
			one.Name, one.Port = fmt.Sprint("s", i), r
			cfg.Services = append(cfg.Services, one)
		}
		err := cfg.Validate()
		if tc.path == "" {
			if err != nil {
				t.Errorf("%v: refused: %v", tc.ports, err)
			}
			continue
		}
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok || len(joined.Unwrap()) != 1 {
			t.Errorf("%v: %v", tc.ports, err)
			continue
		}
		if f := joined.Unwrap()[0].(*FieldError); f.Path != tc.path || f.Other != tc.other || !strings.Contains(f.Problem, tc.says) {
			t.Errorf("%v: %+v, want %s ...%s...", tc.ports, f, tc.path, tc.says)
		}
	}
	cfg := testConfig(DSR, Maglev, 1)
	cfg.Services[0].Port, cfg.Services[0].Backends[0].Port = Ports(80, 90), 80
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "dsr does not translate ports") {
		t.Errorf("dsr: %v", err)
	}
}

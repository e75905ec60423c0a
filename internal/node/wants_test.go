package node

import (
	"maps"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"appliance/engine/xdp"
	"appliance/engine/xsk"
	"appliance/internal/netstate"
	"appliance/vserver"
	"appliance/vserver/health"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// twoServices are a checked one and an unchecked one, on one VIP each.
func twoServices() *Services {
	return &Services{
		Services: vserver.Config{
			SNIPs: []netip.Addr{addr("10.2.2.1"), addr("fd00::2:1")},
			Services: []vserver.ServiceConfig{
				{Name: "web", VIP: addr("203.0.113.10"), Port: 80, Backends: []vserver.BackendConfig{
					{Name: "b1", Address: addr("10.2.3.1")},
					{Name: "b2", Address: addr("10.2.3.2"), Port: 8080, Weight: 5},
				}},
				{Name: "dns", VIP: addr("2001:db8::10"), Port: 53, Protocol: vserver.UDP, Backends: []vserver.BackendConfig{
					{Name: "b1", Address: addr("fd00::3:1")},
				}},
			},
		},
		Checks: map[string]health.Check{"web": health.DefaultCheck(health.TCP)},
	}
}

// Only services with a check have targets; a backend without a port of its own
// is checked on the service's.
func TestTargets(t *testing.T) {
	check := health.DefaultCheck(health.TCP)
	want := []health.Target{
		{Service: "web", Backend: "b1", Addr: netip.MustParseAddrPort("10.2.3.1:80"), Check: check},
		{Service: "web", Backend: "b2", Addr: netip.MustParseAddrPort("10.2.3.2:8080"), Check: check},
	}
	if got := twoServices().targets(); !reflect.DeepEqual(got, want) {
		t.Errorf("targets %+v, want %+v", got, want)
	}
	if got := new(Services).targets(); len(got) > 0 {
		t.Errorf("nothing has targets %v", got)
	}
}

// A check that a reload adds takes nobody out before it has said so.
func TestServing(t *testing.T) {
	before, after := twoServices(), twoServices()
	delete(before.Checks, "web")
	after.Services.Services[0].Backends[1].Address = addr("10.2.3.9")
	got := before.serving(after.targets())
	if len(got) != 2 || !got[0].Serving || got[1].Serving {
		t.Errorf("the backend that was there is serving, not the new one: %+v", got)
	}
	for _, target := range twoServices().serving(twoServices().targets()) {
		if target.Serving {
			t.Errorf("%+v was checked before", target)
		}
	}
}

func TestKinds(t *testing.T) {
	want := map[netip.Addr]xdp.Kind{
		addr("10.2.2.1"): xdp.SNIP, addr("fd00::2:1"): xdp.SNIP,
		addr("203.0.113.10"): xdp.VIP, addr("2001:db8::10"): xdp.VIP,
	}
	if got := twoServices().kinds(); !maps.Equal(got, want) {
		t.Errorf("kinds %v, want %v", got, want)
	}
}

func TestBackends(t *testing.T) {
	want := []netip.Addr{addr("10.2.3.1"), addr("10.2.3.2"), addr("fd00::3:1")}
	if got := twoServices().backends(); !reflect.DeepEqual(got, want) {
		t.Errorf("backends %v, want %v", got, want)
	}
}

// A VIP must not be an address of the node's kernel, whatever its prefix; a
// SNIP is one.
func TestNotOwn(t *testing.T) {
	for _, c := range []struct {
		name string
		own  []string
		want string
	}{
		{"nothing", nil, ""},
		{"others in the same subnet", []string{"203.0.113.11/24", "2001:db8::11/64", "10.2.2.1/32", "127.0.0.1/8"}, ""},
		{"with a subnet", []string{"203.0.113.10/24"}, "vserver web: VIP 203.0.113.10 is an address of this node"},
		{"alone", []string{"10.0.0.1/24", "2001:db8::10/128"}, "ip addr del 2001:db8::10 dev"},
	} {
		var own []netip.Prefix
		for _, p := range c.own {
			own = append(own, netip.MustParsePrefix(p))
		}
		err := twoServices().notOwn(own)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// Backends without a check are up; those with one are as their check says, and
// down before it has said anything.
func TestUp(t *testing.T) {
	s := twoServices()
	n := &Node{checker: health.New(health.Config{})}
	defer n.checker.Close()
	up := n.up(s.Checks)
	if up("web", "b1") || !up("dns", "b1") {
		t.Errorf("checked: up %v, unchecked: up %v", up("web", "b1"), up("dns", "b1"))
	}
}

// What no room checks for itself.
func TestValidate(t *testing.T) {
	good := Config{Interfaces: []Interface{{Name: "eth0"}}, Driver: DriverXSK}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no interfaces", func(c *Config) { c.Interfaces = nil }, "no interfaces"},
		{"no driver", func(c *Config) { c.Driver = "" }, `driver "" is neither xsk nor asavie`},
		{"zero-copy that can't be", func(c *Config) { c.Driver, c.ZeroCopy = DriverAsavie, xsk.ZeroCopyRequire }, "zero-copy can't be required"},
	} {
		cfg := good
		c.edit(&cfg)
		if err := cfg.validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// frameSize and frameCount are what memory is laid out by.
func TestFrameSize(t *testing.T) {
	for mtu, want := range map[int]int{68: 2048, 1500: 2048, 1766: 2048, 1767: 4096, 3814: 4096, 3815: 0, 9000: 0} {
		got, err := frameSize(netstate.Link{Name: "eth0", MTU: mtu})
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("MTU %d: frames of %d bytes (%v), want %d", mtu, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "ip link set dev eth0 mtu 3814") {
			t.Errorf("MTU %d: the error doesn't say what to do: %v", mtu, err)
		}
	}
	// What is recommended is what works best.
	veth := netstate.Link{Name: "eth0", Kind: "veth", MTU: 9000}
	if _, err := frameSize(veth); !strings.Contains(err.Error(), "mtu 3506") {
		t.Errorf("veth: %v", err)
	}
	if err := tooLarge(netstate.Link{Name: "eth0", MTU: 3000}, 2048); !strings.Contains(err.Error(), "mtu 1766, or restart with frame_size = 4096") {
		t.Errorf("small frames: %v", err)
	}
}

func TestFrameCount(t *testing.T) {
	for _, c := range []struct{ sockets, perSocket, engines, batch, handoff, want int }{
		{2, 6144, 1, 64, 2048, 2*6144 + 2*64 + 512},
		{2, 6144, 2, 64, 2048, 2 * (2*6144 + 2*64 + 2*2048 + 512)},
		{1, 100, 3, 10, 50, 3 * (100 + 20 + 2*2*50 + 512)},
	} {
		if got := frameCount(c.sockets, c.perSocket, c.engines, c.batch, c.handoff); got != c.want {
			t.Errorf("%+v: %d frames", c, got)
		}
	}
	for _, c := range [][3]int{{1, 1, 1}, {2, 1, 2}, {1, 4, 1}, {4, 4, 1}, {5, 4, 2}, {8, 3, 3}} {
		if got := perEngine(c[0], c[1]); got != c[2] {
			t.Errorf("%d queues, %d engines: %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

// The port that a check names is checked, whatever the backend's; without one, a
// backend that keeps the client's port is checked on the range's first.
func TestTargetsOfPortRange(t *testing.T) {
	s := twoServices()
	s.Services.Services[0].Port = vserver.Ports(8000, 8099)
	for check, want := range map[uint16][2]uint16{0: {8000, 8080}, 79: {79, 79}} {
		c := health.DefaultCheck(health.TCP)
		c.Port = check
		s.Checks["web"] = c
		for i, target := range s.targets() {
			if target.Addr.Port() != want[i] {
				t.Errorf("check of port %d: %v, want port %d", check, target.Addr, want[i])
			}
		}
	}
}

package netstate

import (
	"net"
	"net/netip"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"appliance/internal/fib"
)

// linkMessage returns an RTM_NEWLINK as the kernel sends it, decoded.
func linkMessage(t *testing.T, index int, name string, more ...*nl.RtAttr) netlink.Link {
	t.Helper()
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	msg.Flags = unix.IFF_UP | unix.IFF_LOWER_UP
	data := append(msg.Serialize(), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)).Serialize()...)
	data = append(data, nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(1500)).Serialize()...)
	data = append(data, nl.NewRtAttr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, byte(index)}).Serialize()...)
	for _, attr := range more {
		data = append(data, attr.Serialize()...)
	}
	link, err := netlink.LinkDeserialize(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// vlanAttrs returns the attributes of a VLAN over the link of index parent.
func vlanAttrs(parent int, protocol, id uint16) []*nl.RtAttr {
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.ZeroTerminated("vlan"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_VLAN_ID, nl.Uint16Attr(id))
	data.AddRtAttr(nl.IFLA_VLAN_PROTOCOL, nl.BEUint16Attr(protocol))
	return []*nl.RtAttr{nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(parent))), info}
}

// TestVLANLinks maps VLANs to the interface they are over.
func TestVLANLinks(t *testing.T) {
	elsewhere := append(vlanAttrs(2, 0x8100, 300), nl.NewRtAttr(unix.IFLA_LINK_NETNSID, nl.Uint32Attr(0)))
	v := view{links: []netlink.Link{
		linkMessage(t, 1, "lo"),
		linkMessage(t, 2, "eth0"),
		linkMessage(t, 3, "eth1"),
		linkMessage(t, 4, "eth1.100", vlanAttrs(3, 0x8100, 100)...),
		linkMessage(t, 5, "eth1.200", vlanAttrs(3, 0x8100, 200)...),
		linkMessage(t, 6, "lo.7", vlanAttrs(1, 0x8100, 7)...),
		linkMessage(t, 7, "qinq", vlanAttrs(4, 0x8100, 8)...),
		linkMessage(t, 8, "provider", vlanAttrs(3, 0x88a8, 9)...),
		linkMessage(t, 9, "moved", elsewhere...),
	}}
	cfg := Config{Interfaces: []Interface{{Name: "eth1"}, {Name: "eth0"}, {Name: "eth1.200"}}}
	want := map[int]fib.Link{ // what differs from link to link
		2: {Interface: 1}, 3: {Interface: 0}, 4: {Interface: 0, VLAN: 100}, 5: {Interface: 2},
	}
	got := v.fibLinks(&cfg)
	for _, l := range got {
		w, ok := want[l.Index]
		w.Index, w.MAC, w.MTU, w.Up = l.Index, [6]byte{2, 0, 0, 0, 0, byte(l.Index)}, 1500, true
		if !ok || l != w {
			t.Errorf("link %+v, want %+v (%v)", l, w, ok)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d links, want %d: %+v", len(got), len(want), got)
	}
}

// TestVLAN does the same with a VLAN of the kernel's.
func TestVLAN(t *testing.T) {
	w := newWorld(t)
	probe := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "probe", ParentIndex: 1}, VlanId: 1}
	if err := netlink.LinkAdd(probe); err != nil && strings.Contains(err.Error(), "not supported") {
		t.Skipf("this kernel is built without CONFIG_VLAN_8021Q: %v", err) // also with CI=true: no right could help
	}
	watcher := w.watch()
	w.do("ip link add link server0 name server0.100 type vlan id 100")
	w.do("ip address add 10.3.0.1/24 dev server0.100")
	w.do("ip link set server0.100 up")
	w.inPeer("ip link add link ps0 name ps0.100 type vlan id 100")
	w.inPeer("ip address add 10.3.0.2/24 dev ps0.100")
	w.inPeer("ip link set ps0.100 up")
	watcher.Manage(addrs("10.3.0.2"))
	setSNIPs(t, watcher, "10.3.0.100")
	s := until(t, watcher, "backend on the VLAN resolved", found("10.3.0.2"))
	if hop, _ := lookup(s, "10.3.0.2"); hop.Interface != 1 || hop.VLAN != 100 {
		t.Errorf("next hop %+v, want interface 1, VLAN 100", hop)
	}
	if !w.holds("server0.100", "10.3.0.100") {
		t.Error("the SNIP is not on the VLAN")
	}
}

func ipNet(s string) *net.IPNet {
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return n
}

// TestRoutesLeftOut: routes that are not for forwarding by destination, and
// those that can't be followed. All others are tested against the kernel.
func TestRoutesLeftOut(t *testing.T) {
	dst := ipNet("198.51.100.0/24")
	unsupported := fib.Route{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Kind: fib.Unsupported, Metric: 3}
	encap := &netlink.SEG6Encap{}
	cases := []struct {
		name string
		in   netlink.Route
		want *fib.Route // nil: left out
	}{
		{"multicast", netlink.Route{Dst: dst, Type: unix.RTN_MULTICAST}, nil},
		{"type of the future", netlink.Route{Dst: dst, Type: 99}, nil},
		{"type of service", netlink.Route{Dst: dst, Type: unix.RTN_UNICAST, Tos: 8, LinkIndex: 2}, nil},
		{"no destination", netlink.Route{Type: unix.RTN_UNICAST, LinkIndex: 2}, nil},
		{"encapsulation", netlink.Route{Dst: dst, Type: unix.RTN_UNICAST, LinkIndex: 2, Priority: 3, Encap: encap}, &unsupported},
		{"encapsulation in a next hop", netlink.Route{Dst: dst, Type: unix.RTN_UNICAST, Priority: 3,
			MultiPath: []*netlink.NexthopInfo{{LinkIndex: 2}, {LinkIndex: 3, Encap: encap}}}, &unsupported},
	}
	for _, c := range cases {
		got, ok := fibRoute(c.in)
		if ok != (c.want != nil) || ok && !reflect.DeepEqual(got, *c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, ok, c.want)
		}
	}
	// A next hop object that isn't spelt out leaves a route without next hops.
	got, ok := fibRoute(netlink.Route{Dst: dst, Type: unix.RTN_UNICAST})
	if !ok || got.Kind != fib.Unicast || got.Hops != nil {
		t.Errorf("route without next hops: %+v, %v", got, ok)
	}
}

func TestAddrRoutes(t *testing.T) {
	cases := map[string]string{
		"10.0.0.5/24":     "10.0.0.5/32 own, 10.0.0.0/32, 10.0.0.255/32",
		"10.0.0.5/30":     "10.0.0.5/32 own, 10.0.0.4/32, 10.0.0.7/32",
		"10.0.0.5/20":     "10.0.0.5/32 own, 10.0.0.0/32, 10.0.15.255/32",
		"10.0.0.4/31":     "10.0.0.4/32 own",
		"10.0.0.5/32":     "10.0.0.5/32 own",
		"2001:db8::5/64":  "2001:db8::5/128 own",
		"2001:db8::5/128": "2001:db8::5/128 own",
	}
	for in, want := range cases {
		ip, n, err := net.ParseCIDR(in)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range addrRoutes(netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: n.Mask}}) {
			s := r.Prefix.String()
			if r.Kind == fib.Local {
				s += " own"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s gives %s, want %s", in, s, want)
		}
	}
	if got := addrRoutes(netlink.Addr{}); got != nil {
		t.Errorf("no address gives %v", got)
	}
}

// TestDecodeIgnores: messages that say nothing about forwarding cause no work,
// and short ones no panic.
func TestDecodeIgnores(t *testing.T) {
	local := (&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Table: unix.RT_TABLE_LOCAL}}).Serialize()
	bridge := (&netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: 2}).Serialize()
	proxy := (&netlink.Ndmsg{Family: unix.AF_INET, Index: 2, Flags: netlink.NTF_PROXY}).Serialize()
	cases := []struct {
		name  string
		kind  uint16
		bytes []byte
	}{
		{"route of the local table", unix.RTM_NEWROUTE, local},
		{"empty route", unix.RTM_NEWROUTE, nil},
		{"bridge entry", unix.RTM_NEWNEIGH, bridge},
		{"proxy entry", unix.RTM_NEWNEIGH, proxy},
		{"empty neighbour", unix.RTM_DELNEIGH, nil},
		{"end of a dump", unix.NLMSG_DONE, nil},
	}
	for _, c := range cases {
		if e, ok := decode(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: c.kind}, Data: c.bytes}); ok {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

// TestAnnouncements holds the frames against bytes; that others believe them is
// TestSNIPIsAnnounced.
func TestAnnouncements(t *testing.T) {
	mac := [6]byte{2, 0, 0, 0, 0, 7}
	want := "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x07\x08\x06" +
		"\x00\x01\x08\x00\x06\x04\x00\x01" +
		"\x02\x00\x00\x00\x00\x07\x0a\x00\x00\x07" + "\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x07"
	if got := string(gratuitousARP(netip.MustParseAddr("10.0.0.7"), mac)); got != want {
		t.Errorf("ARP announcement\n%x, want\n%x", got, want)
	}
	const address = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
	want = "\x33\x33\x00\x00\x00\x01\x02\x00\x00\x00\x00\x07\x86\xdd" +
		"\x60\x00\x00\x00\x00\x20\x3a\xff" + address + "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x88\x00\xf9\x18\x20\x00\x00\x00" + address + "\x02\x01\x02\x00\x00\x00\x00\x07"
	if got := string(unsolicitedNA(netip.MustParseAddr("2001:db8::7"), mac)); got != want {
		t.Errorf("neighbour advertisement\n%x, want\n%x", got, want)
	}
}

package packet_test

import (
	"net/netip"
	"testing"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// What HostAddr refuses, Parse drops, in either place; what it takes, Parse takes.
func TestHostAddrIsParses(t *testing.T) {
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", "1.0.0.0", "126.255.255.255", "127.0.0.1", "128.0.0.1", "223.255.255.255", "224.0.0.1",
		"240.0.0.1", "255.255.255.255", "::", "::1", "::1.2.3.4", "::ffff:0:1.2.3.4", "0:0:0:1::", "2001:db8::1", "ff02::1",
	} {
		addr := netip.MustParseAddr(a)
		peer := "192.0.2.1"
		if addr.Is6() {
			peer = "2001:db8::2"
		}
		at, other := netip.AddrPortFrom(addr, 80).String(), netip.AddrPortFrom(netip.MustParseAddr(peer), 80).String()
		var info packet.Info
		from, to := packet.Parse(pt.TCP(at, other), &info), packet.Parse(pt.TCP(other, at), &info)
		if host := packet.HostAddr(addr); host != (from == packet.OK) || host != (to == packet.OK) {
			t.Errorf("%s: HostAddr %v; Parse says %v as source, %v as destination", a, host, from, to)
		}
	}
	if packet.HostAddr(netip.Addr{}) {
		t.Error("no address is a host's")
	}
}

package vserver

import (
	"os/exec"
	"strings"
	"testing"

	"appliance/internal/privtest"
)

// Wireshark finds nothing wrong with what leaves, checksums and lengths
// included (ICMP errors aside, for what they quote is cut off), and sees the
// clients' packets inside. It has no decoder for GUE: there the first bytes
// behind UDP tell.
func TestTsharkDecodesTunnels(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		privtest.Unable(t, "decode captures", err)
	}
	const bad = "!icmp && !icmpv6 && (_ws.malformed || _ws.expert.severity == error || " +
		"ip.checksum.status == 0 || udp.checksum.status == 0 || tcp.checksum.status == 0)"
	for golden, filters := range map[string][2]string{
		"ipip": {
			"ip.dst == 198.51.100.10 && ip.proto == 4",
			"ipv6.dst == 2001:db8:1::10 && ipv6.nxt == 41",
		},
		"ipip_cross": {
			"ip.dst == 198.51.100.10 && ipv6.nxt == 4",
			"ipv6.dst == 2001:db8:1::10 && ip.proto == 41",
		},
		"gue": {
			"ip.dst == 10.1.0.0/24 && udp.dstport == 6080 && udp.payload[0:5] == 00:04:00:00:45",
			"ipv6.dst == fd00:1::/64 && udp.dstport == 6080 && udp.payload[0:4] == 00:29:00:00",
		},
		"gue_cross": {
			"ipv6.dst == fd00:1::/64 && udp.dstport == 6080 && udp.payload[0:5] == 00:04:00:00:45",
			"ip.dst == 10.1.0.0/24 && udp.dstport == 6080 && udp.payload[0:4] == 00:29:00:00",
		},
	} {
		file := "testdata/" + golden + "/out.pcapng"
		if found := tshark(t, file, bad); found != "" {
			t.Errorf("%s: tshark complains of\n%s", golden, found)
		}
		for _, filter := range filters {
			if n := strings.Count(tshark(t, file, filter), "\n"); n != 8 { // four each of two clients
				t.Errorf("%s: tshark finds %d packets of %q, want 8", golden, n, filter)
			}
		}
	}
}

// tshark returns a line for each packet of a capture that a filter matches.
func tshark(t *testing.T, file, filter string) string {
	t.Helper()
	out, err := exec.Command("tshark", "-n", "-r", file, "-Y", filter, "-o", "ip.check_checksum:TRUE",
		"-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	return string(out)
}

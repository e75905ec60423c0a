package packet

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"appliance/engine/packet/packettest"
)

// What runs per packet must not allocate.
func TestNoAllocs(t *testing.T) {
	const off = max(ICMPErrorHeadroom, TunnelHeadroom)
	far := TunnelConfig{Sources: netip.MustParsePrefix("fd00:200::/64"), Far: netip.MustParseAddr("fd00:1::1"), GUEPort: 6080}
	tunnel := NewTunnel(&far)
	buf := make([]byte, off+1<<17)
	for _, c := range allReasonCases() {
		var info Info
		allocs := testing.AllocsPerRun(10, func() {
			frame := buf[off : off+copy(buf[off:], c.frame)]
			if Parse(frame, &info) != OK {
				return
			}
			VerifyL4(frame, &info)
			saved := info
			EchoReply(frame, &info)
			info = saved
			TCPReset(frame[:copy(frame, c.frame)], &info)
			info = saved
			copy(frame, c.frame)
			Retag(buf, off, &info, 0)
			info = saved
			copy(frame, c.frame)
			ICMPError(buf, off, &info, PortUnreachable, 0)
			info = saved
			copy(frame, c.frame)
			ClampMSS(frame, &info, 100)
			tunnel.Wrap(buf[:off+len(frame)], off, &info, 1)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", c.name, allocs)
		}
	}
}

// Functions that hot loops call per packet, and that must cost no call. A name
// that the compiler stops inlining has grown too much.
func TestInlining(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m=1", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var inlined []string
	for line := range strings.Lines(string(out)) {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), ": can inline "); ok {
			inlined = append(inlined, name)
		}
	}
	for _, want := range []string{
		"Fold", "Update16", "Update32", "Delta.Word", "Delta.Long", "Delta.Quad", "Delta.Apply", "Delta.ApplyUDP",
		"Ethernet.SetDst", "Ethernet.SetSrc", "Ethernet.Group",
		"IPv4.Src", "IPv4.Dst", "IPv4.Addrs", "IPv4.SetAddrs", "IPv4.TTL", "IPv4.SetChecksum", "IPv4.DecrementTTL",
		"IPv6.Src", "IPv6.Dst", "IPv6.Addrs", "IPv6.SetSrc", "IPv6.SetDst", "IPv6.HopLimit", "IPv6.SetHopLimit",
		"TCP.Flags", "TCP.SetChecksum", "TCP.SetSrcPort", "UDP.SetChecksum", "UDP.SetDstPort",
		"(*Info).Ports", "(*Info).IPv4", "(*Info).IPv6", "(*Info).TCP", "(*Info).UDP", "(*Info).ICMP",
		"hostIPv4", "hostIPv6", "badTCPFlags", "parsePorts", "fold64", "tosOf", "UDP.setLen", "(*Tunnel).variable",
	} {
		if !slices.Contains(inlined, want) {
			t.Errorf("%s is not inlined", want)
		}
	}
}

var benchFrames = []struct {
	name  string
	frame []byte
}{
	{"ipv4-udp-64", udp4(packettest.PayloadSize(18))},
	{"ipv4-tcp-64", tcp4(packettest.PayloadSize(6))},
	{"ipv4-tcp-tagged", tcp4(packettest.VLAN(7), packettest.PayloadSize(6))},
	{"ipv4-tcp-options", tcp4(packettest.IPOption(148, 0, 0), packettest.PayloadSize(6))},
	{"ipv6-udp-78", udp6(packettest.PayloadSize(16))},
	{"ipv6-tcp-74", tcp6()},
	{"ipv6-tcp-extensions", tcp6(packettest.HopByHop(8), packettest.DestinationOptions(16))},
}

func BenchmarkParse(b *testing.B) {
	for _, c := range benchFrames {
		b.Run(c.name, func(b *testing.B) {
			var info Info
			for b.Loop() {
				if Parse(c.frame, &info) != OK {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkVerifyL4(b *testing.B) {
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"ipv4-udp-64", benchFrames[0].frame},
		{"ipv4-tcp-1514", tcp4(packettest.PayloadSize(1460))},
		{"ipv6-tcp-1514", tcp6(packettest.PayloadSize(1440))},
	} {
		b.Run(c.name, func(b *testing.B) {
			var info Info
			Parse(c.frame, &info)
			b.SetBytes(int64(info.End - info.L4))
			for b.Loop() {
				if !VerifyL4(c.frame, &info) {
					b.Fatal("wrong")
				}
			}
		})
	}
}

// BenchmarkSum/slow-1460 is the oracle, for comparison.
func BenchmarkSum(b *testing.B) {
	data := make([]byte, 1460)
	for _, n := range []int{20, 64, 1460} {
		b.Run("fast-"+map[int]string{20: "20", 64: "64", 1460: "1460"}[n], func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Sum(data[:n], 0)
			}
		})
	}
	b.Run("slow-1460", func(b *testing.B) {
		b.SetBytes(1460)
		for b.Loop() {
			packettest.SlowChecksum(data)
		}
	})
}

// BenchmarkRewrite is what NAT does to the headers of an IPv4 TCP segment.
func BenchmarkRewrite(b *testing.B) {
	frame := tcp4()
	var info Info
	Parse(frame, &info)
	for b.Loop() {
		h, seg := info.IPv4(frame), info.TCP(frame)
		old, now := h.Addrs(), h.Addrs()^0x01010101
		d := Delta(0).Long(uint32(old>>32), uint32(now>>32)).Long(uint32(old), uint32(now))
		h.SetAddrs(now)
		h.SetChecksum(d.Apply(h.Checksum()))
		h.DecrementTTL()
		h.SetTTL(64)
		seg.SetSrcPort(seg.SrcPort() ^ 1)
		seg.SetChecksum(d.Word(seg.SrcPort(), seg.SrcPort()^1).Apply(seg.Checksum()))
	}
}

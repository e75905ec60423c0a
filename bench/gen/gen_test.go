package gen

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"appliance/internal/privtest"
)

// testConfig is the traffic of most tests: 20 flows of 8 clients.
func testConfig(proto uint8, frame int) Config {
	return Config{
		Egress:  1,
		SrcMAC:  [6]byte{2, 0, 0, 0, 0, 1},
		DstMAC:  [6]byte{2, 0, 0, 0, 0, 2},
		Client:  netip.MustParseAddr("198.18.8.0"),
		Clients: 8,
		Flows:   20,
		Dst:     netip.MustParseAddr("198.19.0.1"),
		DstPort: 8080,
		Proto:   proto,

		TCPFlags: SYN,
		TOS:      0x28,
		Frame:    frame,
	}
}

// pin keeps the test on one CPU, since the programs count on each CPU apart. The
// thread stays locked and so ends with the test's goroutine.
func pin(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(0)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
}

func newGenerator(t *testing.T, cfg Config) *Generator {
	t.Helper()
	privtest.NeedNetNS(t)
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// dirty returns a page as a receiver might have left it: headers overwritten,
// payload untouched.
func dirty(g *Generator, headers int) []byte {
	in := bytes.Clone(g.data)
	for i := range in[:headers] {
		in[i] = 0xa5
	}
	return in
}

// checkFrame compares one frame with what the configuration asks for, using a
// decoder that is not ours, and returns its flow.
func checkFrame(t *testing.T, cfg *Config, frame []byte) gopacket.Flow {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if p.ErrorLayer() != nil {
		t.Fatalf("frame does not decode: %v\n%v", p.ErrorLayer().Error(), p)
	}
	eth := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !bytes.Equal(eth.SrcMAC, cfg.SrcMAC[:]) || !bytes.Equal(eth.DstMAC, cfg.DstMAC[:]) {
		t.Errorf("Ethernet addresses %v to %v", eth.SrcMAC, eth.DstMAC)
	}
	if ip.TTL != 64 || ip.TOS != cfg.TOS || ip.Flags != layers.IPv4DontFragment || ip.FragOffset != 0 || len(ip.Options) != 0 {
		t.Errorf("IPv4 header %+v", ip)
	}
	if int(ip.Length) != cfg.Frame-14 || !ip.DstIP.Equal(cfg.Dst.AsSlice()) {
		t.Errorf("IPv4 length %d to %v, want %d to %v", ip.Length, ip.DstIP, cfg.Frame-14, cfg.Dst)
	}
	client, _ := netip.AddrFromSlice(ip.SrcIP)
	if n := addrBits(client) - addrBits(cfg.Client); n >= uint32(cfg.Clients) {
		t.Errorf("client %v is none of %d from %v on", client, cfg.Clients, cfg.Client)
	}
	checkL4(t, cfg, p, ip)
	if again := serialize(t, p); !bytes.Equal(again, frame) {
		t.Errorf("with lengths and checksums computed anew the frame differs:\nis   %x\nwant %x", frame, again)
	}
	return p.TransportLayer().TransportFlow()
}

func checkL4(t *testing.T, cfg *Config, p gopacket.Packet, ip *layers.IPv4) {
	t.Helper()
	switch l4 := p.TransportLayer().(type) {
	case *layers.UDP:
		if cfg.Proto != UDP || l4.DstPort != layers.UDPPort(cfg.DstPort) || int(l4.Length) != cfg.Frame-34 {
			t.Errorf("UDP header %+v", l4)
		}
		l4.SetNetworkLayerForChecksum(ip)
	case *layers.TCP:
		if cfg.Proto != TCP || l4.DstPort != layers.TCPPort(cfg.DstPort) || !l4.SYN || l4.ACK || l4.FIN || l4.RST ||
			l4.DataOffset != 5 || l4.Window == 0 || l4.Urgent != 0 || l4.Ack != 0 {
			t.Errorf("TCP header %+v", l4)
		}
		l4.SetNetworkLayerForChecksum(ip)
	default:
		t.Fatalf("no transport layer in %v", p)
	}
	if app := p.ApplicationLayer(); app == nil || !bytes.Equal(app.Payload(), cfg.payload()) {
		t.Errorf("payload is not the configured one: %v", app)
	}
}

// serialize writes the packet's layers with lengths and checksums computed anew.
func serialize(t *testing.T, p gopacket.Packet) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializePacket(buf, opts, p); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestEveryHeaderIsWritten(t *testing.T) {
	for name, cfg := range map[string]Config{
		"udp, shortest": testConfig(UDP, MinFrame),
		"udp, odd":      testConfig(UDP, 333),
		"udp, longest":  testConfig(UDP, MaxFrame),
		"tcp, shortest": testConfig(TCP, MinFrame),
		"tcp, odd":      testConfig(TCP, 333),
	} {
		t.Run(name, func(t *testing.T) {
			pin(t)
			g := newGenerator(t, cfg)
			type tuple struct {
				client string
				ports  gopacket.Flow
			}
			seen := map[tuple]int{}
			for range 3 * cfg.Flows {
				frame, err := g.Test(dirty(g, cfg.headers()))
				if err != nil {
					t.Fatal(err)
				}
				seen[tuple{string(frame[26:30]), checkFrame(t, &cfg, frame)}]++
			}
			if len(seen) != cfg.Flows {
				t.Errorf("%d flows, want %d", len(seen), cfg.Flows)
			}
			for f, n := range seen {
				if n != 3 {
					t.Errorf("flow %v sent %d frames in 3 turns", f, n)
				}
			}
			frames, sent, err := g.Sent()
			if want := uint64(3 * cfg.Flows); err != nil || frames != want || sent != want*uint64(cfg.Frame) {
				t.Errorf("counted %d frames of %d bytes (%v), want %d", frames, sent, err, want)
			}
		})
	}
}

// TestIdentificationChanges: the counter that makes frames differ is in the IP
// identification, so that no two neighbours are equal.
func TestIdentificationChanges(t *testing.T) {
	cfg := testConfig(UDP, MinFrame)
	cfg.Flows, cfg.Clients = 1, 1
	pin(t)
	g := newGenerator(t, cfg)
	for want := range uint16(5) {
		frame, err := g.Test(dirty(g, cfg.headers()))
		if err != nil {
			t.Fatal(err)
		}
		if id := binary.BigEndian.Uint16(frame[18:]); id != want {
			t.Errorf("identification %d, want %d", id, want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		"index":          func(c *Config) { c.Egress = 0 },
		"want IPv4":      func(c *Config) { c.Dst = netip.MustParseAddr("2001:db8::1") },
		"power of two":   func(c *Config) { c.Clients = 3 },
		"not aligned":    func(c *Config) { c.Client = netip.MustParseAddr("198.18.8.1") },
		"do not fit":     func(c *Config) { c.Flows = 8*64512 + 1 },
		"no destination": func(c *Config) { c.DstPort = 0 },
		"neither UDP":    func(c *Config) { c.Proto = 1 },
		"frames of 59":   func(c *Config) { c.Frame = 59 },
	} {
		cfg := testConfig(UDP, MinFrame)
		if err := cfg.Validate(); err != nil {
			t.Fatalf("the good configuration: %v", err)
		}
		spoil(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %q", err, want)
		}
	}
}

package gen

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"appliance/internal/privtest"
)

func newStandIn(t *testing.T, answers bool) *StandIn {
	t.Helper()
	privtest.NeedNetNS(t)
	s, err := NewStandIn(testConfig(TCP, MinFrame).TOS, answers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A generator's SYN is answered as the one who sent it would want.
func TestStandInAnswers(t *testing.T) {
	pin(t)
	cfg := testConfig(TCP, MinFrame)
	g := newGenerator(t, cfg)
	syn, err := g.Test(dirty(g, cfg.headers()))
	if err != nil {
		t.Fatal(err)
	}
	answer, taken, err := newStandIn(t, true).Test(syn)
	if err != nil || !taken || answer == nil {
		t.Fatalf("taken: %v, answer %x, %v", taken, answer, err)
	}
	asked := gopacket.NewPacket(syn, layers.LayerTypeEthernet, gopacket.Default)
	p := gopacket.NewPacket(answer, layers.LayerTypeEthernet, gopacket.Default)
	if p.ErrorLayer() != nil {
		t.Fatalf("the answer does not decode: %v", p.ErrorLayer().Error())
	}
	if p.LinkLayer().LinkFlow() != asked.LinkLayer().LinkFlow().Reverse() ||
		p.NetworkLayer().NetworkFlow() != asked.NetworkLayer().NetworkFlow().Reverse() ||
		p.TransportLayer().TransportFlow() != asked.TransportLayer().TransportFlow().Reverse() {
		t.Errorf("asked\n%v\nanswered\n%v", asked, p)
	}
	ip, tcp := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if was := asked.Layer(layers.LayerTypeTCP).(*layers.TCP); !tcp.SYN || !tcp.ACK || tcp.RST || tcp.Ack != was.Seq+1 || ip.Length != 40 || ip.TOS != cfg.TOS {
		t.Errorf("IPv4 %+v, TCP %+v", ip, tcp)
	}
	tcp.SetNetworkLayerForChecksum(ip)
	if again := serialize(t, p); !bytes.Equal(again[:54], answer[:54]) {
		t.Errorf("with lengths and checksums computed anew the answer differs:\nis   %x\nwant %x", answer, again)
	}
}

func TestStandInTakes(t *testing.T) {
	pin(t)
	syn, udp := testConfig(TCP, MinFrame), testConfig(UDP, MinFrame)
	ack, plain := syn, syn
	ack.TCPFlags, plain.TOS = ACK, 0
	s := newStandIn(t, false)
	for _, c := range []struct {
		name  string
		cfg   Config
		taken bool
		want  Taken
	}{
		{"a marked SYN", syn, true, Taken{1, 0}},
		{"a marked ACK", ack, true, Taken{1, 1}},
		{"a SYN without the mark", plain, false, Taken{1, 1}},
		{"a datagram", udp, false, Taken{1, 1}},
	} {
		g := newGenerator(t, c.cfg)
		frame, err := g.Test(dirty(g, c.cfg.headers()))
		if err != nil {
			t.Fatal(err)
		}
		answer, taken, err := s.Test(frame)
		if err != nil || taken != c.taken || answer != nil {
			t.Errorf("%s: taken: %v, answer %x, %v", c.name, taken, answer, err)
		}
		if got, err := s.Taken(); err != nil || got != c.want {
			t.Errorf("%s: counted %+v (%v), want %+v", c.name, got, err, c.want)
		}
	}
	if _, err := NewStandIn(0, true); err == nil {
		t.Error("a stand-in took everything for the test's")
	}
}

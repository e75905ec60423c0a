package packet

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

// answered is what an answer made of a frame.
type answered struct {
	frame []byte // nil: it must not be answered
	info  Info
}

// The answers, behind one signature. Each gets the frame with headroom in front
// and must leave a refused frame untouched.
var answers = map[string]func(buf []byte, off int, info *Info) (at, n int){
	"echo reply": func(buf []byte, off int, info *Info) (int, int) {
		return off, EchoReply(buf[off:], info)
	},
	"reset": func(buf []byte, off int, info *Info) (int, int) {
		return off, TCPReset(buf[off:], info)
	},
	"port unreachable": func(buf []byte, off int, info *Info) (int, int) {
		grew, n := ICMPError(buf, off, info, PortUnreachable, 0)
		return off - grew, n
	},
}

// answer gives frame to an answer. The buffer ends with the frame, so writing
// beyond it panics.
func answer(t rapid.TB, frame []byte, how func([]byte, int, *Info) (int, int)) answered {
	const off = ICMPErrorHeadroom
	buf := slices.Concat(make([]byte, off), frame)
	var got answered
	if why := Parse(buf[off:], &got.info); why != OK {
		t.Fatalf("parse: %v", why)
	}
	before := got.info
	at, n := how(buf, off, &got.info)
	if n > 0 {
		got.frame = buf[at : at+n]
		return got
	}
	if !bytes.Equal(buf[off:], frame) || got.info != before || at != off {
		t.Fatalf("changed what it didn't answer: %x, was %x", buf[off:], frame)
	}
	return got
}

var swapped = packettest.WantMACs(packettest.DstMAC, packettest.SrcMAC)

func TestEchoReply(t *testing.T) {
	const client, vip, client6, vip6 = "192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:1::1"
	data := packettest.PayloadSize(33)
	payload := packettest.WantPayload([]byte{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
	})
	for name, frame := range map[string][]byte{
		"plain":     packettest.Echo(client, vip, data, packettest.TTL(3)),
		"tagged":    packettest.Echo(client, vip, data, packettest.VLAN(7)),
		"options":   packettest.Echo(client, vip, data, packettest.IPOption(148, 0, 0)),
		"padding":   packettest.Echo(client, vip, data, packettest.Trailer(9)),
		"DSCP, ECN": packettest.Echo(client, vip, data, packettest.TOS(0xb9)),
	} {
		got := answer(t, frame, answers["echo reply"])
		packettest.Check(t, got.frame, swapped, packettest.WantSrc(vip), packettest.WantDst(client),
			packettest.WantTTL(64), packettest.WantICMP(ICMPEchoReply, 0), payload)
		if name == "DSCP, ECN" {
			packettest.Check(t, got.frame, packettest.WantTOS(0xb8))
		}
	}
	for _, frame := range [][]byte{
		packettest.Echo(client6, vip6, data, packettest.TTL(3), packettest.TOS(0xb9)),
		packettest.Echo(client6, vip6, data, packettest.TOS(0xb8), packettest.HopByHop(8), packettest.DestinationOptions(16)),
	} {
		got := answer(t, frame, answers["echo reply"])
		packettest.Check(t, got.frame, swapped, packettest.WantSrc(vip6), packettest.WantDst(client6),
			packettest.WantTTL(64), packettest.WantTOS(0xb8), packettest.WantICMP(ICMPv6EchoReply, 0), payload)
	}
}

// RFC 9293 section 3.10.7.1.
func TestTCPReset(t *testing.T) {
	for _, c := range []struct {
		name     string
		opts     []packettest.Option
		flags    string
		seq, ack uint32
	}{
		{"SYN", []packettest.Option{packettest.Flags("S"), packettest.MSS(1460)}, "RA", 0, 101},
		{"SYN with data", []packettest.Option{packettest.Flags("S"), packettest.PayloadSize(10)}, "RA", 0, 111},
		{"FIN without ACK", []packettest.Option{packettest.Flags("F"), packettest.PayloadSize(3)}, "RA", 0, 104},
		{"data", []packettest.Option{packettest.Flags("PA"), packettest.PayloadSize(10)}, "R", 700, 0},
		{"SYN and ACK", []packettest.Option{packettest.Flags("SA")}, "R", 700, 0},
		{"options, tag and padding", []packettest.Option{packettest.Flags("S"), packettest.VLAN(3), packettest.Trailer(6),
			packettest.IPOption(148, 0, 0), packettest.HopByHop(8)}, "RA", 0, 101},
	} {
		opts := append(c.opts, packettest.SeqAck(100, 700), packettest.TTL(1))
		for _, ends := range [][2]string{{client4, service4}, {client6, service6}} {
			got := answer(t, packettest.TCP(ends[0], ends[1], opts...), answers["reset"])
			packettest.Check(t, got.frame, swapped, packettest.WantSrc(ends[1]), packettest.WantDst(ends[0]),
				packettest.WantTTL(64), packettest.WantFlags(c.flags), packettest.WantSeqAck(c.seq, c.ack),
				packettest.WantPayload(nil))
		}
	}
}

func TestICMPError(t *testing.T) {
	for _, c := range []struct {
		why        Problem
		typ4, cod4 uint8
		typ6, cod6 uint8
		mtu        uint16
	}{
		{PortUnreachable, 3, 3, 1, 4, 0},
		{HostUnreachable, 3, 1, 1, 3, 0},
		{AdminProhibited, 3, 13, 1, 1, 0},
		{TimeExceeded, 11, 0, 3, 0, 0},
		{PacketTooBig, 3, 4, 2, 0, 1400},
	} {
		how := func(buf []byte, off int, info *Info) (int, int) {
			grew, n := ICMPError(buf, off, info, c.why, c.mtu)
			return off - grew, n
		}
		for _, frame := range [][]byte{udp4(packettest.PayloadSize(40)), tcp4(packettest.VLAN(9), packettest.Trailer(5)),
			udp4(packettest.IPOption(148, 0, 0)), packettest.Echo("192.0.2.1", "198.51.100.1")} {
			got := checkQuote(t, frame, how, c.mtu)
			packettest.Check(t, got, swapped, packettest.WantSrc("198.51.100.1"), packettest.WantDst("192.0.2.1"),
				packettest.WantTTL(64), packettest.WantICMP(c.typ4, c.cod4))
		}
		for _, frame := range [][]byte{udp6(packettest.PayloadSize(40)), tcp6(packettest.VLAN(9), packettest.Trailer(5)),
			udp6(packettest.HopByHop(8))} {
			got := checkQuote(t, frame, how, c.mtu)
			packettest.Check(t, got, swapped, packettest.WantSrc("2001:db8:1::1"), packettest.WantDst("2001:db8::1"),
				packettest.WantTTL(64), packettest.WantICMP(c.typ6, c.cod6))
		}
	}
}

// checkQuote returns the answer to frame, having checked that it carries mtu and
// then quotes frame's whole IP packet.
func checkQuote(t *testing.T, frame []byte, how func([]byte, int, *Info) (int, int), mtu uint16) []byte {
	t.Helper()
	var asked Info
	Parse(frame, &asked)
	got := answer(t, frame, how)
	if got.frame == nil {
		t.Fatalf("no answer to %x", frame)
	}
	h := got.info.ICMP(got.frame)
	if h.Rest() != uint32(mtu) {
		t.Errorf("rest of header is %#x, want %#x", h.Rest(), mtu)
	}
	if want := frame[asked.L3:asked.End]; !bytes.Equal(h[ICMPSize:], want) {
		t.Errorf("quotes %x, want %x", h[ICMPSize:], want)
	}
	return got.frame
}

func TestICMPErrorQuotesWhatFits(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  int // bytes of the error's IP packet
	}{
		{"IPv4 one less", udp4(packettest.PayloadSize(519)), 575},
		{"IPv4 just fits", udp4(packettest.PayloadSize(520)), 576},
		{"IPv4 too long", udp4(packettest.PayloadSize(521)), 576},
		{"IPv4 of 1500 bytes", udp4(packettest.PayloadSize(1472)), 576},
		{"IPv6 just fits", udp6(packettest.PayloadSize(1184)), 1280},
		{"IPv6 too long", udp6(packettest.PayloadSize(1185)), 1280},
	} {
		got := answer(t, c.frame, answers["port unreachable"])
		packettest.Check(t, got.frame)
		if n := len(got.frame) - EthernetSize; n != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, n, c.want)
		}
	}
}

// retyped turns an echo request into an ICMP message of another type, its
// checksum right.
func retyped(frame []byte, typ uint8) []byte {
	return l4(frame, func(b []byte) {
		h := ICMP(b)
		h.SetChecksum(Update16(h.Checksum(), uint16(h.Type())<<8, uint16(typ)<<8))
		h.SetType(typ)
	})
}

func TestNoAnswer(t *testing.T) {
	group := [6]byte{0x01, 0, 0x5e, 0, 0, 1}
	broadcast := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	to := func(dst [6]byte) packettest.Option { return packettest.MACs(packettest.SrcMAC, dst) }
	icmp := func(typ uint8) []byte { return retyped(packettest.Echo("192.0.2.1", "198.51.100.1"), typ) }
	icmp6 := func(typ uint8) []byte { return retyped(packettest.Echo("2001:db8::1", "2001:db8::2"), typ) }
	about := func(typ uint8) []byte {
		return packettest.ICMPError(typ, 0, 0, router4, "192.0.2.1", tcp4()[EthernetSize:])
	}
	about6 := func(typ uint8) []byte {
		return packettest.ICMPError(typ, 0, 0, router6, "2001:db8::1", tcp6()[EthernetSize:])
	}
	damaged := func(frame []byte) []byte {
		return edited(frame, len(frame)-1, func(b []byte) { b[0] ^= 4 })
	}
	for _, c := range []struct {
		answer, name string
		frame        []byte
	}{
		{"echo reply", "damaged request", damaged(packettest.Echo("192.0.2.1", "198.51.100.1", packettest.PayloadSize(8)))},
		{"reset", "damaged segment", damaged(tcp4(packettest.PayloadSize(8)))},
		{"port unreachable", "damaged datagram", damaged(udp6(packettest.PayloadSize(8)))},
		{"echo reply", "UDP", udp4()},
		{"echo reply", "echo reply", icmp(ICMPEchoReply)},
		{"echo reply", "timestamp request", icmp(13)},
		{"echo reply", "ICMPv6 type 8", icmp6(ICMPEcho)},
		{"echo reply", "ICMP type 128", icmp(ICMPv6Echo)},
		{"echo reply", "multicast frame", packettest.Echo("192.0.2.1", "198.51.100.1", to(group))},
		{"echo reply", "broadcast frame", packettest.Echo("192.0.2.1", "198.51.100.1", to(broadcast))},
		{"echo reply", "first fragment", packettest.Echo("192.0.2.1", "198.51.100.1", packettest.Fragment(0, true), packettest.PayloadSize(8))},
		{"reset", "RST", flags("R")},
		{"reset", "RST and ACK", flags("RA")},
		{"reset", "UDP", udp6()},
		{"reset", "broadcast frame", tcp4(to(broadcast))},
		{"reset", "later fragment", tcp4(packettest.Fragment(64, false), packettest.PayloadSize(30))},
		{"port unreachable", "unreachable", about(ICMPUnreachable)},
		{"port unreachable", "source quench", icmp(ICMPSourceQuench)},
		{"port unreachable", "redirect", icmp(ICMPRedirect)},
		{"port unreachable", "time exceeded", about(ICMPTimeExceeded)},
		{"port unreachable", "parameter problem", about(ICMPParameterProblem)},
		{"port unreachable", "ICMPv6 unreachable", about6(ICMPv6Unreachable)},
		{"port unreachable", "ICMPv6 error of unknown type", icmp6(127)},
		{"port unreachable", "ICMPv6 redirect", icmp6(ICMPv6Redirect)},
		{"port unreachable", "multicast frame", udp6(to([6]byte{0x33, 0x33}))},
		{"port unreachable", "first fragment", udp4(packettest.Fragment(0, true), packettest.PayloadSize(8))},
		{"port unreachable", "later fragment", udp6(packettest.Fragment(64, false), packettest.PayloadSize(8))},
	} {
		var info Info
		if whole := Parse(c.frame, &info) == OK && VerifyL4(c.frame, &info); whole == strings.HasPrefix(c.name, "damaged") {
			t.Errorf("%s: arrived whole: %v", c.name, whole)
		}
		if got := answer(t, c.frame, answers[c.answer]); got.frame != nil {
			t.Errorf("%s to %s: %x", c.answer, c.name, got.frame)
		}
	}
}

// checkAnswers gives frame to every answer. What comes back must be a packet
// that gopacket and Parse accept and that info describes.
func checkAnswers(t rapid.TB, frame []byte) {
	for name, how := range answers {
		got := answer(t, frame, how)
		if got.frame == nil {
			continue
		}
		if _, err := packettest.Decode(got.frame); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var again Info
		if why := Parse(got.frame, &again); why != OK || again != got.info {
			t.Fatalf("%s: %v, %+v, info says %+v", name, why, again, got.info)
		}
		if int(again.End) != len(got.frame) {
			t.Fatalf("%s: packet of %d bytes in a frame of %d", name, again.End, len(got.frame))
		}
	}
}

func TestAnswersAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := drawFrame(t)
		var info Info
		if Parse(frame, &info) == OK {
			checkAnswers(t, frame)
		}
	})
}

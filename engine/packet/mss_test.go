package packet

import (
	"slices"
	"testing"

	"appliance/engine/packet/packettest"
)

// withOptions returns a segment with these TCP options, as bytes, and a right
// checksum.
func withOptions(flags string, options ...byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, tcpOptionEnd)
	}
	frame := tcp4(packettest.Flags(flags), packettest.Payload(append(options, "data"...)))
	frame[EthernetSize+IPv4Size+12] += byte(len(options)) << 2 // data offset, in words in the high half
	var info Info
	Parse(frame, &info)
	h := TCP(frame[info.L4:info.End])
	h.SetChecksum(0)
	h.SetChecksum(Checksum(h, pseudoSum(frame[info.L3:], &info, len(h))))
	return frame
}

func TestClampMSS(t *testing.T) {
	const nop, end, mss = tcpOptionNop, tcpOptionEnd, tcpOptionMSS
	for _, c := range []struct {
		name  string
		frame []byte
		want  []byte // the options afterwards; nil: as they were
	}{
		{"SYN", withOptions("S", mss, 4, 5, 180), []byte{mss, 4, 4, 176}},
		{"SYN+ACK", withOptions("SA", mss, 4, 5, 180), []byte{mss, 4, 4, 176}},
		{"behind others", withOptions("S", 3, 3, 7, nop, mss, 4, 5, 180), []byte{3, 3, 7, nop, mss, 4, 4, 176}},
		{"at an odd offset", withOptions("S", nop, mss, 4, 5, 180), []byte{nop, mss, 4, 4, 176}},
		{"at the end", withOptions("S", 3, 3, 7, nop, nop, nop, nop, nop, mss, 4, 255, 255), []byte{3, 3, 7, nop, nop, nop, nop, nop, mss, 4, 4, 176}},
		{"small enough", withOptions("S", mss, 4, 4, 176), nil},
		{"none", withOptions("S", 3, 3, 7, nop), nil},
		{"no options", withOptions("S"), nil},
		{"no SYN", withOptions("A", mss, 4, 5, 180), nil},
		{"behind the end", withOptions("S", end, mss, 4, 5, 180), nil},
		{"of another length", withOptions("S", mss, 3, 5, 180), nil},
		{"longer than the header", withOptions("S", nop, nop, nop, nop, nop, mss, 4, 5), nil},
		{"without a length", withOptions("S", nop, nop, nop, mss), nil},
		{"behind one of no length", withOptions("S", 3, 0, mss, 4, 5, 180), nil},
		{"fragment", tcp4(packettest.Flags("S"), packettest.MSS(1460), packettest.Fragment(0, true), packettest.PayloadSize(8)), nil},
		{"UDP", udp4(packettest.PayloadSize(8)), nil},
	} {
		var info Info
		if why := Parse(c.frame, &info); why != OK {
			t.Fatalf("%s: the test's own frame is refused: %v", c.name, why)
		}
		got := slices.Clone(c.frame)
		changed := ClampMSS(got, &info, 1200)
		if changed != (c.want != nil) || !changed && !slices.Equal(got, c.frame) {
			t.Errorf("%s: changed: %v\n%x became\n%x", c.name, changed, c.frame, got)
		}
		if changed && !slices.Equal(got[info.L4+TCPSize:][:len(c.want)], c.want) {
			t.Errorf("%s: options %x, want %x", c.name, got[info.L4+TCPSize:], c.want)
		}
		if !VerifyL4(got, &info) {
			t.Errorf("%s: the checksum is wrong", c.name)
		}
	}
}

// Nothing but an MSS option changes, and a right checksum stays right.
func FuzzClampMSS(f *testing.F) {
	f.Add(withOptions("S", tcpOptionNop, tcpOptionMSS, 4, 5, 180), uint16(1200))
	f.Add(tcp6(packettest.Flags("S"), packettest.MSS(9000)), uint16(1))
	f.Add(udp4(), uint16(0))
	f.Fuzz(func(t *testing.T, frame []byte, most uint16) {
		mend(frame)
		var info Info
		if Parse(frame, &info) != OK {
			return
		}
		before, sound := slices.Clone(frame), VerifyL4(frame, &info)
		changed := ClampMSS(frame, &info, most)
		if sound && !VerifyL4(frame, &info) {
			t.Fatalf("the checksum has become wrong\n%x\n%x", before, frame)
		}
		differ := 0
		for i := range frame {
			if frame[i] != before[i] && i != int(info.L4)+16 && i != int(info.L4)+17 {
				differ++
			}
		}
		if differ > 2 || !changed && !slices.Equal(frame, before) {
			t.Fatalf("changed: %v\n%x\n%x", changed, before, frame)
		}
		if changed && ClampMSS(frame, &info, most) {
			t.Fatalf("changed again: %x", frame)
		}
	})
}

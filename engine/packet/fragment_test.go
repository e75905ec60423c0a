package packet

import (
	"testing"

	"appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

func parsed(t testing.TB, frame []byte) *Info {
	t.Helper()
	info := new(Info)
	if why := Parse(frame, info); why != OK {
		t.Fatalf("parse: %v", why)
	}
	return info
}

func TestPartOf(t *testing.T) {
	data := packettest.PayloadSize(16)
	for _, c := range []struct {
		name  string
		frame []byte
		want  Part
	}{
		{"first", udp4(packettest.Fragment(0, true), packettest.ID(7), data), Part{ID: 7, End: 24, More: true}},
		{"middle", tcp4(packettest.Fragment(80, true), packettest.ID(65535), packettest.IPOption(148, 0, 0), data),
			Part{ID: 65535, Offset: 80, End: 96, More: true}},
		{"last", udp4(packettest.Fragment(65504, false), data), Part{Offset: 65504, End: 65520}},
		{"first v6", udp6(packettest.Fragment(0, true), data), Part{ID: 0x1234, End: 24, More: true}},
		{"last v6", udp6(packettest.VLAN(7), packettest.HopByHop(24), packettest.DestinationOptions(16), packettest.Fragment(8, false), data),
			Part{ID: 0x1234, Offset: 8, End: 24}},
		{"options behind", udp6(packettest.Fragment(0, true), packettest.DestinationOptions(32), data),
			Part{ID: 0x1234, End: 56, More: true}},
	} {
		info := parsed(t, c.frame)
		same(t, c.name, PartOf(c.frame, info), c.want)
		SetFragmentID(c.frame, info, 0xabcd)
		c.want.ID = 0xabcd
		same(t, c.name+", renumbered", PartOf(c.frame, parsed(t, c.frame)), c.want)
	}
}

func TestFirstFragment(t *testing.T) {
	first, data := packettest.Fragment(0, true), packettest.PayloadSize(24)
	for _, c := range []struct {
		name  string
		frame []byte
		want  Reason
	}{
		{"datagram", udp4(first, data), OK},
		{"datagram v6", udp6(first, packettest.DestinationOptions(8), data), OK},
		{"segment", tcp6(first, packettest.Payload(make([]byte, 4)), packettest.Flags("SE")), OK},
		{"length", with(udp4(first, data), 34+5, 7), BadLength},
		{"no checksum", udp4(first, data, packettest.NoChecksum()), OK},
		{"no checksum v6", udp6(first, data, packettest.NoChecksum()), BadL4Checksum},
		{"port 0", with(with(udp4(first, data), 36, 0), 37, 0), BadPort},
		{"flags", tcp4(first, packettest.Payload(make([]byte, 4)), packettest.Flags("SF")), BadTCPFlags},
		{"header cut off", with(tcp4(first, packettest.Payload(make([]byte, 4))), 34+12, 0x70), BadLength},
	} {
		info := parsed(t, c.frame)
		same(t, c.name, FirstFragment(c.frame, info), c.want)
		if c.want == OK {
			same(t, c.name+": ports", info.Ports(), uint32(40000<<16|80))
			same(t, c.name+": flags", info.Flags&^FlagIPv6, FlagFragment|FlagPorts)
		}
	}
}

// with returns frame with one byte changed.
func with(frame []byte, at int, b byte) []byte {
	frame[at] = b
	return frame
}

// A first fragment whose ports are known is answered, and quoted as it is; the
// answer itself is whole.
func TestICMPErrorAboutFirstFragment(t *testing.T) {
	for _, frame := range [][]byte{
		udp4(packettest.Fragment(0, true), packettest.PayloadSize(16)),
		udp6(packettest.Fragment(0, true), packettest.PayloadSize(16)),
	} {
		buf := append(make([]byte, ICMPErrorHeadroom), frame...)
		info := parsed(t, frame)
		same(t, "reason", FirstFragment(frame, info), OK)
		grew, n := ICMPError(buf, ICMPErrorHeadroom, info, PacketTooBig, 1280)
		if n == 0 {
			t.Fatal("not answered")
		}
		answer := buf[ICMPErrorHeadroom-grew:][:n]
		packettest.Check(t, answer)
		if again := parsed(t, answer); *again != *info {
			t.Errorf("info is %+v, want %+v", info, again)
		}
		same(t, "quoted", string(answer[n-len(frame)+EthernetSize:]), string(frame[EthernetSize:]))
	}
}

// What is cut and parsed piece by piece is what it was.
func TestFragmentsCoverTheirDatagram(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(9, 4000).Draw(rt, "size")
		build := udp4
		if rapid.Bool().Draw(rt, "six") {
			build = udp6
		}
		whole := build(packettest.PayloadSize(size))
		var at []int
		for cut := 8; cut < size+8; cut += 8 * rapid.IntRange(1, 200).Draw(rt, "units") {
			at = append(at, cut)
		}
		id, end := rapid.Uint32Range(0, 1<<16-1).Draw(rt, "id"), uint16(0)
		pieces := packettest.Cut(whole, id, at...)
		for i, f := range pieces {
			info := parsed(t, f)
			part := PartOf(f, info)
			same(t, "fragment", part, Part{ID: id, Offset: end, End: part.End, More: i+1 < len(pieces)})
			same(t, "later", info.Flags&FlagLater != 0, i > 0)
			end = part.End
		}
		same(t, "end", int(end), size+8)
		joined, err := packettest.Join(pieces)
		if err != nil {
			rt.Fatal(err)
		}
		packettest.Check(t, joined, packettest.WantPayloadLen(size))
	})
}

package packet

import (
	"encoding/binary"
	"testing"

	"appliance/engine/packet/packettest"
)

// seed gives a fuzz target every named case.
func seed(f *testing.F) {
	for _, c := range allReasonCases() {
		if len(c.frame) <= 2048 {
			f.Add(c.frame, true)
			f.Add(c.frame, false)
		}
	}
}

// mend puts the IPv4 header checksum right, which random changes hardly ever
// do: without it few inputs would get past the header.
func mend(frame []byte) {
	at := EthernetSize
	if len(frame) > 18 && frame[12] == 0x81 && frame[13] == 0 {
		at += VLANSize
	}
	if len(frame) < at+IPv4Size || frame[at]>>4 != 4 {
		return
	}
	h := frame[at:]
	h = h[:min(len(h), max(IPv4(h).HeaderLen(), IPv4Size))]
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], packettest.SlowChecksum(h))
}

func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte, whole bool) {
		if whole {
			mend(frame)
		}
		var info Info
		why := Parse(frame, &info)
		if why >= Reasons {
			t.Fatalf("reason %d", why)
		}
		if int(info.L3) > len(frame) || int(info.End) > len(frame) {
			t.Fatalf("offsets beyond %d bytes: %+v", len(frame), info)
		}
		if why != OK {
			return
		}
		if !(EthernetSize <= info.L3 && info.L3 < info.L4 && info.L4 < info.End) {
			t.Fatalf("offsets out of order: %+v", info)
		}
		agree(t, frame, &info)
	})
}

func FuzzVerifyL4(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte, whole bool) {
		if whole {
			mend(frame)
		}
		var info Info
		if Parse(frame, &info) != OK {
			return
		}
		p, err := packettest.Decode(frame[:info.End])
		if known := p.TCP != nil || p.UDP != nil || p.ICMPv4 != nil || p.ICMPv6 != nil; !known {
			VerifyL4(frame, &info) // gopacket can't tell; it must not panic
			return
		}
		if got := VerifyL4(frame, &info); got != (err == nil) {
			t.Fatalf("right: %v; gopacket: %v", got, err)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte, whole bool) {
		if whole {
			mend(frame)
		}
		var info Info
		if Parse(frame, &info) == OK {
			checkAnswers(t, frame)
		}
	})
}

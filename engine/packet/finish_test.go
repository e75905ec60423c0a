package packet_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"appliance/engine/packet"
	"appliance/engine/packet/packettest"
)

// partial makes of a finished frame what a sender with checksum offload hands
// over: the sum of the pseudo-header stands where the checksum belongs.
func partial(frame []byte, info *packet.Info) []byte {
	f := bytes.Clone(frame)
	l4 := f[info.L4:info.End]
	at := 16
	if info.Proto == packet.ProtoUDP {
		at = 6
	}
	// All bytes but the checksum's sum up to what the finished checksum is the
	// complement of; without the transport's own bytes the pseudo-header is left.
	finished := uint32(l4[at])<<8 | uint32(l4[at+1])
	l4[at], l4[at+1] = 0, 0
	own := uint32(packet.Fold(packet.Sum(l4, 0)))
	pseudo := packet.Fold(^finished&0xffff + 0xffff - own)
	l4[at], l4[at+1] = byte(pseudo>>8), byte(pseudo)
	return f
}

func TestFinishL4(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addrs := rapid.SampledFrom([][2]string{
			{"198.51.100.7:40000", "203.0.113.10:80"},
			{"[2001:db8::7]:40000", "[2001:db8:f::10]:80"},
		}).Draw(t, "addresses")
		payload := packettest.Payload(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "payload"))
		frame := packettest.TCP(addrs[0], addrs[1], payload)
		if rapid.Bool().Draw(t, "udp") {
			frame = packettest.UDP(addrs[0], addrs[1], payload)
		}
		var info packet.Info
		if why := packet.Parse(frame, &info); why != packet.OK {
			t.Fatal(why)
		}
		got := partial(frame, &info)
		if !packet.FinishL4(got, &info) {
			t.Fatal("an unfinished checksum was not noticed")
		}
		if !packet.VerifyL4(got, &info) {
			t.Fatal("the finished checksum is wrong")
		}
		if was := bytes.Clone(got); packet.FinishL4(got, &info) && !bytes.Equal(got, was) {
			t.Fatal("finishing a finished packet changed it")
		}
	})
}

// What has no such checksum, or none at all, stays as it is.
func TestFinishL4LeavesOthersAlone(t *testing.T) {
	damaged := packettest.TCP("198.51.100.7:1", "203.0.113.10:80")
	damaged[50] ^= 0x55
	for name, frame := range map[string][]byte{
		"damaged": damaged,
		"icmp":    packettest.Echo("198.51.100.7", "203.0.113.10"),
	} {
		var info packet.Info
		if why := packet.Parse(frame, &info); why != packet.OK {
			t.Fatal(name, why)
		}
		was := bytes.Clone(frame)
		if packet.FinishL4(frame, &info) || !bytes.Equal(frame, was) {
			t.Errorf("%s: changed", name)
		}
	}
}

func BenchmarkFinishL4(b *testing.B) {
	frame := packettest.UDP("198.51.100.7:40000", "203.0.113.10:80", packettest.PayloadSize(18))
	var info packet.Info
	packet.Parse(frame, &info)
	for b.Loop() {
		packet.FinishL4(frame, &info)
	}
}

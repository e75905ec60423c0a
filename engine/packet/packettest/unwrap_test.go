package packettest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// wrapped returns a frame with a packet in a packet: as IP payload, or in GUE.
func wrapped(from, to string, gue bool) (inner, outer []byte) {
	inner = UDP(client6, service6, PayloadSize(3))
	payload := Payload(inner[14:])
	if !gue {
		return inner, Raw(41, from, to, payload, TTL(64), TOS(0xb8))
	}
	payload = Payload(slices.Concat([]byte{0, 41, 0, 0}, inner[14:]))
	port := func(addr string) string {
		if addr[0] == 'f' {
			return "[" + addr + "]:6080"
		}
		return addr + ":6080"
	}
	return inner, UDP(port(from), port(to), payload, TTL(64), TOS(0xb8))
}

func TestUnwrap(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		gue            bool
		damage         []int // bytes that can't be changed unnoticed
	}{
		{"in IPv4", "10.0.0.1", "10.0.0.2", false, []int{12, 14 + 3, 14 + 9, 14 + 12}},
		{"in IPv6", "fd00::1", "fd00::2", false, []int{12, 14 + 5, 14 + 6}},
		{"in GUE over IPv4", "10.0.0.1", "10.0.0.2", true, []int{14 + 15, 34 + 5, 34 + 7, 42 + 1, 42 + 2, 60}},
		{"in GUE over IPv6", "fd00::1", "fd00::2", true, []int{14 + 20, 54 + 5, 54 + 7, 62 + 1, 62 + 2, 80}},
	} {
		inner, frame := wrapped(c.from, c.to, c.gue)
		o, got, err := Unwrap(frame)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if o.Src.String() != c.from || o.Dst.String() != c.to || o.TTL != 64 || o.TOS != 0xb8 || c.gue != (o.DstPort == 6080) {
			t.Errorf("%s: %+v", c.name, o)
		}
		if !bytes.Equal(got, inner) {
			t.Errorf("%s: inside is\n%x\nwant\n%x", c.name, got, inner)
		}
		for _, at := range c.damage {
			damaged := slices.Clone(frame)
			damaged[at] ^= 1
			if _, got, err := Unwrap(damaged); err == nil && bytes.Equal(got, inner) {
				t.Errorf("%s: damage of byte %d not found", c.name, at)
			}
		}
	}
	if _, _, err := Unwrap(UDP(client4, service4)); err == nil {
		t.Error("a datagram too short for GUE not found")
	}
	if _, _, err := Unwrap(TCP(client4, service4)); err == nil {
		t.Error("a packet that holds none not found")
	}
	_, frame := wrapped("fd00::1", "fd00::2", true)
	binary.BigEndian.PutUint16(frame[60:], 0)
	if _, _, err := Unwrap(frame); err == nil {
		t.Error("UDP over IPv6 without a checksum not found")
	}
	if _, _, err := Unwrap(nil); err == nil {
		t.Error("nothing at all was unwrapped")
	}
}

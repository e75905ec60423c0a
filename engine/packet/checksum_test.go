package packet

import (
	"encoding/binary"
	"testing"

	"appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

// The example of RFC 1071 section 3.
func TestChecksumRFC1071(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := Fold(Sum(b, 0)); got != 0xddf2 {
		t.Errorf("sum %#04x, want 0xddf2", got)
	}
	if got := Checksum(b, 0); got != 0x220d {
		t.Errorf("checksum %#04x, want 0x220d", got)
	}
}

// The example of RFC 1624 section 4, which equation 2 got wrong.
func TestUpdateRFC1624(t *testing.T) {
	if got := Update16(0xdd2f, 0x5555, 0x3285); got != 0x0000 {
		t.Errorf("updated to %#04x, want 0x0000", got)
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		sum  uint32
		want uint16
	}{{0, 0}, {0xffff, 0xffff}, {0x10000, 1}, {0x1ffff, 1}, {0xffffffff, 0xffff}, {0xfffeffff, 0xfffe}} {
		if got := Fold(c.sum); got != c.want {
			t.Errorf("Fold(%#x) = %#x, want %#x", c.sum, got, c.want)
		}
	}
}

func TestSumMatchesSlow(t *testing.T) {
	ones := make([]byte, 4096)
	for i := range ones {
		ones[i] = 0xff
	}
	for n := range 200 {
		if got, want := Checksum(ones[:n], 0), packettest.SlowChecksum(ones[:n]); got != want {
			t.Errorf("%d bytes of ones: %#04x, want %#04x", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		if got, want := Checksum(b, 0), packettest.SlowChecksum(b); got != want {
			t.Fatalf("%#04x, want %#04x", got, want)
		}
		cut := rapid.IntRange(0, len(b)/2).Draw(t, "cut") * 2
		if got, want := Sum(b[cut:], Sum(b[:cut], 0)), Sum(b, 0); Fold(got) != Fold(want) || got > 1<<17 {
			t.Fatalf("in two parts %#x, at once %#x", got, want)
		}
	})
}

// Every update must give what a computation from scratch gives, bit for bit.
func TestUpdateMatchesRecompute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 34, 60).Draw(t, "bytes")
		b[0] |= 1 // a packet is never all zeros
		before := Checksum(b, 0)

		old, addr := binary.BigEndian.Uint64(b[2:]), [16]byte(b[16:])
		rapidFill(t, b[2:10])
		rapidFill(t, b[16:32])
		now, newAddr := binary.BigEndian.Uint64(b[2:]), [16]byte(b[16:])

		d := Delta(0).Word(uint16(old>>48), uint16(now>>48)).
			Word(uint16(old>>32), uint16(now>>32)).
			Long(uint32(old), uint32(now)).Addr(&addr, &newAddr)
		want := Checksum(b, 0)
		if got := d.Apply(before); got != want {
			t.Fatalf("delta: %#04x, want %#04x", got, want)
		}
		if got := Delta(0).Quad(old, now).Addr(&addr, &newAddr).Apply(before); got != want {
			t.Fatalf("64 bits at once: %#04x, want %#04x", got, want)
		}
		step := Update16(before, uint16(old>>48), uint16(now>>48))
		step = Update16(step, uint16(old>>32), uint16(now>>32))
		step = Update32(step, uint32(old), uint32(now))
		if step = UpdateAddr16(step, &addr, &newAddr); step != want {
			t.Fatalf("step by step: %#04x, want %#04x", step, want)
		}
	})
}

func rapidFill(t *rapid.T, b []byte) {
	copy(b, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xfe, 0xff}), len(b), len(b)).Draw(t, "new"))
}

func TestApplyUDP(t *testing.T) {
	for _, c := range []struct {
		name     string
		sum      uint16
		old, new uint16
		want     uint16
	}{
		{"none stays none", 0, 1, 2, 0},
		{"computed zero is sent as ones", 0xdd2f, 0x5555, 0x3285, 0xffff},
		{"ones are a zero", 0xffff, 1, 2, 0xfffe},
		{"no change", 0xffff, 0, 0, 0xffff},
		{"ordinary", 0x1000, 0x0001, 0x0002, 0x0fff},
	} {
		if got := Delta(0).Word(c.old, c.new).ApplyUDP(c.sum); got != c.want {
			t.Errorf("%s: %#04x, want %#04x", c.name, got, c.want)
		}
	}
}

// A Delta must hold as many words as it promises.
func TestDeltaRoom(t *testing.T) {
	var d Delta
	for range 30_000 {
		d = d.Long(0, 0xffffffff) // ~0 + 0xffffffff: the most that words can add
	}
	if got := d.Apply(0x1234); got != 0x1234 {
		t.Errorf("%#04x, want 0x1234", got)
	}
}

func TestDecrementTTL(t *testing.T) {
	for ttl := 1; ttl < 256; ttl++ {
		frame := udp4(packettest.TTL(uint8(ttl)))
		IPv4(frame[EthernetSize:]).DecrementTTL()
		packettest.Check(t, frame, packettest.WantTTL(uint8(ttl-1)))
	}
	h := make(IPv4, IPv4Size)
	for sum := range 0xffff {
		h.SetTTL(64)
		h.SetChecksum(uint16(sum))
		h.DecrementTTL()
		if want := Update16(uint16(sum), 64<<8, 63<<8); h.Checksum() != want {
			t.Fatalf("checksum %#04x became %#04x, want %#04x", sum, h.Checksum(), want)
		}
	}
}

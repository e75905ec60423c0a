package gen

import (
	"bytes"
	"testing"

	"appliance/internal/privtest"
)

func testSink(t *testing.T, every uint64) *Sink {
	t.Helper()
	privtest.NeedNetNS(t)
	s, err := newSink(8080, every)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// offer runs a frame through the sink and returns what its counters gained.
func offer(t *testing.T, s *Sink, frame []byte) Counts {
	t.Helper()
	before, err := s.Counts()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Test(frame); err != nil {
		t.Fatal(err)
	}
	after, err := s.Counts()
	if err != nil {
		t.Fatal(err)
	}
	return Counts{
		Frames: after.Frames - before.Frames, Bytes: after.Bytes - before.Bytes,
		Verified: after.Verified - before.Verified, BadIP: after.BadIP - before.BadIP,
		BadL4: after.BadL4 - before.BadL4, Unexpected: after.Unexpected - before.Unexpected,
	}
}

// TestSinkFindsEveryFlippedBit flips each bit of a right frame in turn. A
// flipped bit of the IPv4 header must show in its checksum, one of addresses,
// ports, transport header and payload in the transport checksum.
func TestSinkFindsEveryFlippedBit(t *testing.T) {
	for name, cfg := range map[string]Config{
		"udp": testConfig(UDP, MinFrame), "tcp": testConfig(TCP, 97),
	} {
		t.Run(name, func(t *testing.T) {
			s, g := testSink(t, 1), newGenerator(t, cfg)
			frame, err := g.Test(dirty(g, cfg.headers()))
			if err != nil {
				t.Fatal(err)
			}
			right := Counts{Frames: 1, Bytes: uint64(cfg.Frame), Verified: 1}
			if got := offer(t, s, frame); got != right {
				t.Fatalf("a right frame counts as %+v", got)
			}
			for bit := 14 * 8; bit < len(frame)*8; bit++ {
				spoilt := bytes.Clone(frame)
				spoilt[bit/8] ^= 0x80 >> (bit % 8)
				got := offer(t, s, spoilt)
				if got.Unexpected == 1 { // version, header length, protocol or port: not the test's any more
					continue
				}
				if inIP := bit/8 < 34; got.Frames != 1 || inIP && got.BadIP != 1 || !inIP && got.BadL4 != 1 {
					t.Errorf("byte %d with bit %d flipped counts as %+v", bit/8, bit%8, got)
				}
			}
		})
	}
}

func TestSinkSamples(t *testing.T) {
	pin(t)
	cfg := testConfig(UDP, MinFrame)
	s, g := testSink(t, 4), newGenerator(t, cfg)
	for range 10 {
		frame, err := g.Test(dirty(g, cfg.headers()))
		if err != nil {
			t.Fatal(err)
		}
		offer(t, s, frame)
	}
	c, err := s.Counts()
	if want := (Counts{Frames: 10, Bytes: 600, Verified: 3}); err != nil || c != want {
		t.Errorf("counts %+v (%v), want %+v", c, err, want)
	}
}

// TestSinkPassesOthers: what is not the test's is the kernel's.
func TestSinkPassesOthers(t *testing.T) {
	cfg := testConfig(UDP, MinFrame)
	s, g := testSink(t, 1), newGenerator(t, cfg)
	right, err := g.Test(dirty(g, cfg.headers()))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func([]byte){
		"arp":        func(f []byte) { f[12], f[13] = 0x08, 0x06 },
		"ipv6":       func(f []byte) { f[12], f[13] = 0x86, 0xdd },
		"options":    func(f []byte) { f[14] = 0x46 },
		"icmp":       func(f []byte) { f[23] = 1 },
		"other port": func(f []byte) { f[37]++ },
	} {
		frame := bytes.Clone(right)
		spoil(frame)
		if ours, err := s.Test(frame); err != nil || ours {
			t.Errorf("%s: the test's: %v (%v)", name, ours, err)
		}
		if got := offer(t, s, frame); got != (Counts{Unexpected: 1}) {
			t.Errorf("%s counts as %+v", name, got)
		}
	}
	padded := append(bytes.Clone(right), 0xde, 0xad, 0xbe)
	if got := offer(t, s, padded); got.Verified != 1 || got.BadL4 != 0 {
		t.Errorf("a padded frame counts as %+v", got)
	}
	unchecked := bytes.Clone(right)
	unchecked[40], unchecked[41] = 0, 0
	if got := offer(t, s, unchecked); got.BadL4 != 1 {
		t.Errorf("UDP without a checksum counts as %+v", got)
	}
}

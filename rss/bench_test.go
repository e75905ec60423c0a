package rss

import (
	"encoding/binary"
	"testing"
)

// inputs are tuples with random bytes: hashing always the same one would leave
// a single entry of each table in the cache and flatter them.
var inputs = func() (in [256][36]byte) {
	x := uint32(1)
	for i := range in {
		for j := range in[i] {
			x = x*1664525 + 1013904223 // Numerical Recipes' generator
			in[i][j] = byte(x >> 24)
		}
	}
	return in
}()

func BenchmarkIPv4(b *testing.B) {
	h := NewHasher(MicrosoftKey)
	for i := uint8(0); b.Loop(); i++ {
		in := &inputs[i]
		h.IPv4(binary.BigEndian.Uint64(in[:]), binary.BigEndian.Uint32(in[8:]))
	}
}

func BenchmarkIPv4Addrs(b *testing.B) {
	h := NewHasher(MicrosoftKey)
	for i := uint8(0); b.Loop(); i++ {
		h.IPv4Addrs(binary.BigEndian.Uint64(inputs[i][:]))
	}
}

func BenchmarkIPv6(b *testing.B) {
	h := NewHasher(MicrosoftKey)
	for i := uint8(0); b.Loop(); i++ {
		in := &inputs[i]
		h.IPv6((*[32]byte)(in[:]), binary.BigEndian.Uint32(in[32:]))
	}
}

func BenchmarkIPv6Addrs(b *testing.B) {
	h := NewHasher(MicrosoftKey)
	for i := uint8(0); b.Loop(); i++ {
		h.IPv6Addrs((*[32]byte)(inputs[i][:]))
	}
}

func BenchmarkSlowIPv4(b *testing.B) {
	for i := uint8(0); b.Loop(); i++ {
		Slow(MicrosoftKey, inputs[i][:12])
	}
}

func BenchmarkSlowIPv6(b *testing.B) {
	for i := uint8(0); b.Loop(); i++ {
		Slow(MicrosoftKey, inputs[i][:])
	}
}

func BenchmarkCandidate(b *testing.B) {
	p, err := NewPorts(NewHasher(MicrosoftKey), false, 4096)
	if err != nil {
		b.Fatal(err)
	}
	for i := uint8(0); b.Loop(); i++ {
		p.Candidate(uint32(i)*0x9e3779b9, int(i))
	}
}

func BenchmarkNewHasher(b *testing.B) {
	for b.Loop() {
		NewHasher(MicrosoftKey)
	}
}

func BenchmarkNewPorts(b *testing.B) {
	h := NewHasher(MicrosoftKey)
	for b.Loop() {
		if _, err := NewPorts(h, true, 4096); err != nil {
			b.Fatal(err)
		}
	}
}

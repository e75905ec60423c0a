package rss

import (
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// anyPorts draws a key, IPv4 or IPv6 and a number of buckets, for which there
// is a solution.
func anyPorts(t *rapid.T) (h *Hasher, p *Ports, v6 bool, buckets int) {
	h = NewHasher(anyKey.Draw(t, "key"))
	v6 = rapid.Bool().Draw(t, "v6")
	buckets = 1 << rapid.IntRange(10, 14).Draw(t, "log2(buckets)")
	p, err := NewPorts(h, v6, buckets)
	if errors.Is(err, ErrDegenerate) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, p, v6, buckets
}

// For every tuple and bucket the candidates are exactly the destination ports
// that lead there: what trying all 65536 finds.
func TestCandidatesAreThePortsOfTheBucket(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h, p, v6, buckets := anyPorts(r)
		size := 12
		if v6 {
			size = 36
		}
		in := anyInput(r, "tuple", size)
		hashTo := func(port uint16) uint32 {
			binary.BigEndian.PutUint16(in[size-2:], port)
			return fast(t, h, in)
		}
		mask := uint32(buckets - 1)
		bucket := rapid.Uint32().Draw(r, "hash in the wanted bucket")
		found := make(map[uint16]bool)
		want := hashTo(0) ^ bucket
		for i := range p.Len() {
			port := p.Candidate(want, i)
			if got := hashTo(port); got&mask != bucket&mask {
				r.Fatalf("candidate %d: port %d leads to bucket %d, want %d", i, port, got&mask, bucket&mask)
			}
			if again := p.Candidate(want, i+p.Len()); again != port {
				r.Fatalf("candidate %d: port %d; candidate %d, one round on: port %d", i, port, i+p.Len(), again)
			}
			found[port] = true
		}
		if len(found) != 65536/buckets {
			r.Fatalf("%d different candidates, want %d", len(found), 65536/buckets)
		}
		for port := range 1 << 16 {
			if hashTo(uint16(port))&mask == bucket&mask && !found[uint16(port)] {
				r.Fatalf("port %d leads to the bucket but is no candidate", port)
			}
		}
	})
}

func TestNewPortsRefuses(t *testing.T) {
	for _, c := range []struct {
		name       string
		key        Key
		v6         bool
		buckets    int
		degenerate bool
	}{
		{"no buckets", sound, false, 0, false},
		{"negative", sound, false, -1024, false},
		{"too few", sound, false, 512, false},
		{"no power of two", sound, false, 5000, false},
		{"too many", sound, false, 32768, false},
		{"zero key", Key{}, false, 1024, true},
		{"zero key, IPv6", Key{}, true, 1024, true},
		{"Microsoft's key, IPv6", MicrosoftKey, true, 16384, true},
		{"no IPv4 destination bits", cleared(98, 126), false, 1024, true},
	} {
		_, err := NewPorts(NewHasher(c.key), c.v6, c.buckets)
		if err == nil || errors.Is(err, ErrDegenerate) != c.degenerate {
			t.Errorf("%s: error %v, want one; because the key is degenerate: %v", c.name, err, c.degenerate)
		}
	}
	for _, v6 := range []bool{false, true} {
		if _, err := NewPorts(NewHasher(MicrosoftKey), v6, 8192); err != nil {
			t.Errorf("Microsoft's key, 8192 buckets, v6 %v: %v", v6, err)
		}
	}
}

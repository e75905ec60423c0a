package rss

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// vectors are the verification suite of Microsoft's RSS documentation and of
// the Intel 82599 datasheet (section 7.1.2.8.3), under MicrosoftKey.
var vectors = []struct {
	src, dst    string
	addrs, full uint32 // hash of the 2-tuple, of the 4-tuple
}{
	{"66.9.149.187:2794", "161.142.100.80:1766", 0x323e8fc2, 0x51ccc178},
	{"199.92.111.2:14230", "65.69.140.83:4739", 0xd718262a, 0xc626b0ea},
	{"24.19.198.95:12898", "12.22.207.184:38024", 0xd2d0a5de, 0x5c2b394a},
	{"38.27.205.30:48228", "209.142.163.6:2217", 0x82989176, 0xafc7327f},
	{"153.39.163.191:44251", "202.188.127.2:1303", 0x5d1809c5, 0x10e828a2},
	{"[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x2cc18cd5, 0x40207d3d},
	{"[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0x0f0c461c, 0xdde51bbf},
	{"[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", "[fe80::200:f8ff:fe21:67cf]:38024", 0x4b61e985, 0x02d1feef},
}

// tuple returns the hash input of a flow: addresses, then ports.
func tuple(src, dst netip.AddrPort) []byte {
	in := append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	in = binary.BigEndian.AppendUint16(in, src.Port())
	return binary.BigEndian.AppendUint16(in, dst.Port())
}

// fast hashes with the method of h that fits the length of in.
func fast(t testing.TB, h *Hasher, in []byte) uint32 {
	t.Helper()
	switch len(in) {
	case 8:
		return h.IPv4Addrs(binary.BigEndian.Uint64(in))
	case 12:
		return h.IPv4(binary.BigEndian.Uint64(in), binary.BigEndian.Uint32(in[8:]))
	case 32:
		return h.IPv6Addrs((*[32]byte)(in))
	case 36:
		return h.IPv6((*[32]byte)(in), binary.BigEndian.Uint32(in[32:]))
	}
	t.Fatalf("no hash takes %d bytes", len(in))
	return 0
}

func TestPublishedVectors(t *testing.T) {
	h := NewHasher(MicrosoftKey)
	for _, v := range vectors {
		full := tuple(netip.MustParseAddrPort(v.src), netip.MustParseAddrPort(v.dst))
		addrs := full[:len(full)-4]
		for _, c := range []struct {
			name      string
			got, want uint32
		}{
			{"2-tuple", fast(t, h, addrs), v.addrs},
			{"4-tuple", fast(t, h, full), v.full},
			{"slow 2-tuple", Slow(MicrosoftKey, addrs), v.addrs},
			{"slow 4-tuple", Slow(MicrosoftKey, full), v.full},
		} {
			if c.got != c.want {
				t.Errorf("%s > %s: %s hash %08x, want %08x", v.src, v.dst, c.name, c.got, c.want)
			}
		}
	}
}

// anyKey draws keys, degenerate ones included.
var anyKey = rapid.Custom(func(t *rapid.T) Key {
	return Key(rapid.SliceOfN(rapid.Byte(), KeySize, KeySize).Draw(t, "key"))
})

// anyInput draws the input of each of the four hashes.
func anyInput(t *rapid.T, label string, size int) []byte {
	return rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, label)
}

var anySize = rapid.SampledFrom([]int{8, 12, 32, 36})

func TestFastEqualsSlow(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		key := anyKey.Draw(r, "key")
		in := anyInput(r, "input", anySize.Draw(r, "size"))
		if got, want := fast(t, NewHasher(key), in), Slow(key, in); got != want {
			r.Fatalf("fast %08x, slow %08x", got, want)
		}
	})
}

func TestLinear(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := NewHasher(anyKey.Draw(r, "key"))
		size := anySize.Draw(r, "size")
		a, b := anyInput(r, "a", size), anyInput(r, "b", size)
		sum := make([]byte, size)
		for i := range sum {
			sum[i] = a[i] ^ b[i]
		}
		if got, want := fast(t, h, sum), fast(t, h, a)^fast(t, h, b); got != want {
			r.Fatalf("hash of the sum %08x, sum of the hashes %08x", got, want)
		}
	})
}

func TestHasherKeepsKey(t *testing.T) {
	if got := NewHasher(MicrosoftKey).Key(); got != MicrosoftKey {
		t.Errorf("Key() = %x, want %x", got[:], MicrosoftKey[:])
	}
}

func FuzzFastEqualsSlow(f *testing.F) {
	f.Add(MicrosoftKey[:], make([]byte, 36))
	f.Fuzz(func(t *testing.T, key, in []byte) {
		if len(key) < KeySize || len(in) < 36 {
			t.Skip("too short for a key and the longest input")
		}
		h := NewHasher(Key(key[:KeySize]))
		for _, size := range []int{8, 12, 32, 36} {
			if got, want := fast(t, h, in[:size]), Slow(h.Key(), in[:size]); got != want {
				t.Errorf("%d bytes: fast %08x, slow %08x", size, got, want)
			}
		}
	})
}

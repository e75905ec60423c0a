package rss

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The Toeplitz hash is linear over GF(2): each set bit of the input adds (XORs)
// 32 bits of the key into the hash, the window that begins at that bit. All of
// this package follows from the windows.

// inputBits is the length of the longest input: an IPv6 4-tuple.
const inputBits = 8 * (KeySize - 4)

// Where ports lie in the input, in bits: behind two IPv4 or two IPv6 addresses,
// the source port first.
const (
	srcPortIPv4 = 2 * 32
	dstPortIPv4 = srcPortIPv4 + 16
	srcPortIPv6 = 2 * 128
	dstPortIPv6 = srcPortIPv6 + 16
)

// windows returns what each input bit adds to the hash.
func (k *Key) windows() *[inputBits]uint32 {
	w := new([inputBits]uint32)
	window := binary.BigEndian.Uint32(k[:4])
	for i := range w {
		w[i] = window
		next := i + 32
		window = window<<1 | uint32(k[next/8]>>(7-next%8)&1)
	}
	return w
}

// span fills table with the sums of all subsets of basis: table[v] adds up the
// elements whose bits are set in v. Bits beyond the basis add nothing, so the
// table repeats when it is larger than the basis needs.
func span[T uint16 | uint32](table, basis []T) {
	table[0] = 0
	for v := 1; v < len(table); v++ {
		table[v] = table[v&(v-1)]
		if lowest := bits.TrailingZeros(uint(v)); lowest < len(basis) {
			table[v] ^= basis[lowest]
		}
	}
}

// fill tabulates what 32 bits of input add, given their windows.
func (w *word) fill(windows []uint32) {
	for i := range w {
		basis := slices.Clone(windows[8*i : 8*i+8])
		slices.Reverse(basis) // an input byte begins with its highest bit, a basis with the lowest
		span(w[i][:], basis)
	}
}

// A relation says that adding port to the input adds hash to the hash.
type relation struct {
	hash uint32
	port uint16
}

// portRelations returns the relations of the 16 bits of the port that begins at
// input bit at, for the hash bits in mask.
func portRelations(w *[inputBits]uint32, at int, mask uint32) []relation {
	rows := make([]relation, 16)
	for i := range rows {
		rows[i] = relation{hash: w[at+i] & mask, port: 1 << (15 - i)}
	}
	return rows
}

// reduce brings rows to reduced echelon form (Gauss-Jordan, lowest hash bit
// first) and returns the rank of their hashes. With full rank in the lowest n
// bits, row i < n is then the relation of hash bit i alone, and the rows behind
// those change the port without changing the hash.
func reduce(rows []relation) (rank int) {
	for bit := uint32(1); bit != 0; bit <<= 1 {
		pivot := slices.IndexFunc(rows[rank:], func(r relation) bool { return r.hash&bit != 0 })
		if pivot < 0 {
			continue
		}
		rows[rank], rows[rank+pivot] = rows[rank+pivot], rows[rank]
		for i := range rows {
			if i != rank && rows[i].hash&bit != 0 {
				rows[i].hash ^= rows[rank].hash
				rows[i].port ^= rows[rank].port
			}
		}
		rank++
	}
	return rank
}

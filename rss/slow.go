package rss

import "encoding/binary"

// Slow returns the Toeplitz hash of input under key. It is the algorithm as
// Microsoft publishes it, bit by bit ("RSS hashing types", ComputeHash): the
// oracle that the fast hash is tested against, and far too slow for packets.
//
// The input is 36 bytes at most. Beyond that a key has no bits left; the bytes
// there hash as if zeros followed the key.
func Slow(key Key, input []byte) uint32 {
	var hash uint32
	for _, b := range input {
		for bit := byte(0x80); bit != 0; bit >>= 1 {
			if b&bit != 0 {
				hash ^= binary.BigEndian.Uint32(key[:4])
			}
			shiftLeft(&key)
		}
	}
	return hash
}

// shiftLeft shifts the key left by one bit; a zero enters on the right.
func shiftLeft(key *Key) {
	for i := range len(key) - 1 {
		key[i] = key[i]<<1 | key[i+1]>>7
	}
	key[len(key)-1] <<= 1
}

package rss

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// KeySize is the length of a key in bytes: the longest input, an IPv6 4-tuple
// of 36 bytes, and the 4 bytes of hash that its last bit can touch.
const KeySize = 40

// MinSecret is the least number of bytes that DeriveKey takes as a secret.
const MinSecret = 16

// A Key is a Toeplitz hash key. Whoever knows it can make any number of flows
// fall into one bucket, so a key is a secret: draw it with RandomKey or
// DeriveKey, and don't log it.
type Key [KeySize]byte

// MicrosoftKey is the key of the published verification suite (Microsoft,
// "Verifying the RSS hash calculation"; Intel 82599 datasheet, section
// 7.1.2.8.3). It is for tests: everybody knows it. It is good for up to 8192
// buckets, and degenerate at MaxBuckets.
var MicrosoftKey = Key{
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
	0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
	0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
	0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
}

// ParseKey reads a key of 80 hexadecimal digits, with or without a colon
// between bytes, the form that ethtool -x prints. The error doesn't repeat the
// text. ParseKey takes degenerate keys; ask Degenerate.
func ParseKey(text string) (Key, error) {
	var key Key
	digits := strings.ReplaceAll(text, ":", "")
	if len(digits) != hex.EncodedLen(KeySize) {
		return key, fmt.Errorf("rss: parse key: %d hexadecimal digits, want %d", len(digits), hex.EncodedLen(KeySize))
	}
	if _, err := hex.Decode(key[:], []byte(digits)); err != nil {
		return Key{}, fmt.Errorf("rss: parse key: %w", err)
	}
	return key, nil
}

// String returns "(secret)", so that printing a configuration gives no key
// away. To see a key, print key[:].
func (k Key) String() string { return "(secret)" }

// RandomKey draws a key that is not degenerate from the system's random source.
// The error says that the source yields nothing but degenerate keys: it is
// broken.
func RandomKey() (Key, error) {
	return firstSound(func(key *Key, _ uint8) error {
		_, err := rand.Read(key[:])
		return err
	})
}

// DeriveKey returns the key of a cluster: all nodes that know the same secret,
// cluster id and generation derive the same key, so nothing is handed out. It
// is HKDF (RFC 5869) with SHA-256; the output depends on every input, and tells
// nothing about the secret. Each generation has a key of its own; counting up
// rotates. The key is not degenerate. The error says that the secret is shorter
// than MinSecret.
func DeriveKey(secret []byte, cluster string, generation uint64) (Key, error) {
	if len(secret) < MinSecret {
		return Key{}, fmt.Errorf("rss: derive key: secret of %d bytes, want %d at least", len(secret), MinSecret)
	}
	prk, err := hkdf.Extract(sha256.New, secret, []byte("appliance rss key"))
	if err != nil {
		return Key{}, fmt.Errorf("rss: derive key: %w", err)
	}
	// The generation has a fixed length and comes last but one, so that no two
	// (cluster, generation, attempt) give the same bytes.
	info := binary.BigEndian.AppendUint64([]byte(cluster), generation)
	return firstSound(func(key *Key, attempt uint8) error {
		okm, err := hkdf.Expand(sha256.New, prk, string(append(info, attempt)), KeySize)
		copy(key[:], okm)
		return err
	})
}

// firstSound returns the first key made by attempt 0, 1, ... that is not
// degenerate. Two in five random keys are, so 256 attempts in a row don't fail
// in the lifetime of the universe unless make is broken.
func firstSound(make func(key *Key, attempt uint8) error) (Key, error) {
	for attempt := range 256 {
		var key Key
		if err := make(&key, uint8(attempt)); err != nil {
			return Key{}, fmt.Errorf("rss: make key: %w", err)
		}
		if key.Degenerate() == nil {
			return key, nil
		}
	}
	return Key{}, errors.New("rss: make key: 256 degenerate keys in a row")
}

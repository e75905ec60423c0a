package rss

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// sound is a key without fault, for tests to damage.
var sound, _ = ParseKey("795bb4027b204577c5950374ffb1b1f246ec1bed278d04beec08f68e387322d8ecfd957b2ada8e33")

// cleared returns sound with the key bits from first to last set to zero.
func cleared(first, last int) Key {
	key := sound
	for bit := first; bit <= last; bit++ {
		key[bit/8] &^= 0x80 >> (bit % 8)
	}
	return key
}

// shiftRegister returns sound with its first 95 bits, all that a hash of IPv4
// addresses uses, replaced by the output of a 16-bit linear feedback shift
// register of full period: all windows differ, but every bit is a sum of the
// 16 before it.
func shiftRegister() Key {
	key := cleared(0, 94)
	state := uint16(0xace1)
	for bit := range 95 {
		key[bit/8] |= byte(state&1) << (7 - bit%8)
		feedback := state ^ state>>2 ^ state>>3 ^ state>>5 // x^16 + x^14 + x^13 + x^11 + 1
		state = state>>1 | feedback<<15
	}
	return key
}

func TestDegenerate(t *testing.T) {
	if err := sound.Degenerate(); err != nil {
		t.Fatalf("sound key: %v", err)
	}
	for _, c := range []struct {
		name string
		key  Key
		want string // part of the error
	}{
		{"zero key", Key{}, "input bit 0 doesn't"},
		{"zero window", cleared(100, 131), "input bit 100 doesn't"},
		{"zero window at the end", cleared(287, 318), "input bit 287 doesn't"},
		{"symmetric", Key(slices.Repeat([]byte{0x6d, 0x5a}, 20)), "input bits 0 and 16 "},
		{"equal halves", Key(slices.Repeat(sound[:20], 2)), "input bits 0 and 160 "},
		{"all ones", Key(slices.Repeat([]byte{0xff}, KeySize)), "input bits 0 and 1 "},
		{"shift register", shiftRegister(), "IPv4 addresses reach 2^16 "},
		// The bucket bits of the port at input bit n are key bits n+18 to n+46.
		{"IPv4 source", cleared(82, 110), "IPv4 source ports reach 1 of 16384"},
		{"IPv4 destination", cleared(98, 126), "IPv4 destination ports reach 1 of 16384"},
		{"IPv6 source", cleared(274, 302), "IPv6 source ports reach 1 of 16384"},
		{"IPv6 destination", cleared(290, 318), "IPv6 destination ports reach 1 of 16384"},
		{"Microsoft's key", MicrosoftKey, "IPv4 source ports reach 8192 of 16384"},
	} {
		err := c.key.Degenerate()
		if !errors.Is(err, ErrDegenerate) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want ErrDegenerate with %q", c.name, err, c.want)
		}
	}
}

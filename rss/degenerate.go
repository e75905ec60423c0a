package rss

import (
	"errors"
	"fmt"
)

// ErrDegenerate reports a key that hashes badly: see Key.Degenerate.
var ErrDegenerate = errors.New("degenerate key")

// Degenerate returns nil if the key is fit for use, else an error that wraps
// ErrDegenerate and says why not. About three random keys in five are fit.
//
// A key is degenerate if
//
//   - a bit of the input doesn't change the hash (32 zeros in the key);
//   - two bits of the input change it in the same way, so that swapping them
//     goes unnoticed. Keys that repeat themselves are of this kind: those with
//     equal halves, and the symmetric key 6d5a6d5a..., under which the upper
//     half of every hash equals its lower half;
//   - the address pairs of IPv4 don't reach all 2^32 hashes;
//   - the source or destination port, IPv4 or IPv6, doesn't reach all of
//     MaxBuckets buckets. It then reaches all of fewer buckets, and every core
//     entry, too.
func (k Key) Degenerate() error {
	w := k.windows()
	seen := make(map[uint32]int, len(w))
	for i, window := range w {
		if window == 0 {
			return fmt.Errorf("rss: %w: input bit %d doesn't change the hash", ErrDegenerate, i)
		}
		if twin, ok := seen[window]; ok {
			return fmt.Errorf("rss: %w: input bits %d and %d change the hash alike", ErrDegenerate, twin, i)
		}
		seen[window] = i
	}
	addrs := make([]relation, srcPortIPv4)
	for i := range addrs {
		addrs[i].hash = w[i]
	}
	if rank := reduce(addrs); rank < 32 {
		return fmt.Errorf("rss: %w: IPv4 addresses reach 2^%d of 2^32 hashes", ErrDegenerate, rank)
	}
	for _, port := range []struct {
		name string
		at   int
	}{
		{"IPv4 source", srcPortIPv4}, {"IPv4 destination", dstPortIPv4},
		{"IPv6 source", srcPortIPv6}, {"IPv6 destination", dstPortIPv6},
	} {
		rank := reduce(portRelations(w, port.at, MaxBuckets-1))
		if 1<<rank < MaxBuckets {
			return fmt.Errorf("rss: %w: %s ports reach %d of %d buckets", ErrDegenerate, port.name, 1<<rank, MaxBuckets)
		}
	}
	return nil
}

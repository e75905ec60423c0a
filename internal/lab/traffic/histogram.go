package traffic

import (
	"math/bits"
	"time"
)

// subBits is the histogram's resolution: 2^subBits buckets for each power of
// two, so a quantile is at most 1/32 (3 %) above the true value.
const subBits = 5

// A Histogram counts durations in buckets that grow with their value, from a
// nanosecond to centuries in 15 KiB. The zero Histogram is empty. Not safe for
// concurrent use.
type Histogram struct {
	counts [(64 - subBits) << subBits]uint64
	total  uint64
	max    time.Duration
}

// Add counts one duration; a negative one counts as 0.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.total++
	h.max = max(h.max, d)
}

// Merge adds all that other counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count returns how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Max returns the longest duration added.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns a duration that the fraction q of those added don't exceed:
// 0.5 is the median. It is 0 when none was added.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank || seen == h.total && n > 0 {
			return min(h.max, time.Duration(ceiling(i)))
		}
	}
	return 0
}

// bucket returns the bucket of v. Values below 2^subBits have buckets of their
// own; above, the bucket is the exponent and the subBits bits that follow the
// leading one.
func bucket(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	exponent := bits.Len64(v) - 1 - subBits
	return exponent<<subBits + int(v>>exponent)
}

// ceiling returns the largest value in a bucket.
func ceiling(bucket int) uint64 {
	if bucket < 2<<subBits {
		return uint64(bucket)
	}
	exponent := bucket>>subBits - 1
	return uint64(bucket-exponent<<subBits+1)<<exponent - 1
}

package traffic

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestQuantile compares with a sorted list of everything added.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64), 1, 200).Draw(t, "values")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		var h, other Histogram
		for i, v := range values {
			if i%2 == 0 {
				h.Add(time.Duration(v))
			} else {
				other.Add(time.Duration(v))
			}
		}
		h.Merge(&other)
		slices.Sort(values)
		at := min(int(q*float64(len(values))), len(values)-1)
		want, got := values[at], int64(h.Quantile(q))
		if got < want || got-want > want/32 {
			t.Fatalf("quantile %g of %v is %d, want %d to 3%% more", q, values, got, want)
		}
		if h.Count() != uint64(len(values)) || int64(h.Max()) != values[len(values)-1] {
			t.Fatalf("count %d, max %d of %v", h.Count(), h.Max(), values)
		}
	})
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Errorf("an empty histogram says %v, %v, %d", h.Quantile(0.5), h.Max(), h.Count())
	}
	h.Add(-time.Second)
	if h.Quantile(1) != 0 {
		t.Errorf("a negative duration counts as %v, want 0", h.Quantile(1))
	}
}

// TestBuckets: every value lies in a bucket whose ceiling is not below it, and
// the one before has a ceiling below it.
func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Range(0, math.MaxInt64).Draw(t, "v")
		b := bucket(v)
		if ceiling(b) < v || b > 0 && ceiling(b-1) >= v {
			t.Fatalf("%d is in bucket %d, which ends at %d", v, b, ceiling(b))
		}
	})
}

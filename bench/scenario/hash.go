package scenario

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"appliance/rss"
)

// tuples is how many different tuples the hash scenario goes round: enough that
// neither a branch predictor nor a single table entry knows the next one.
const tuples = 1024

// hash measures the time of one Toeplitz hash over a 4-tuple, inputs in the
// first-level cache.
func hash(ctx context.Context, r *run) error {
	key, err := rss.RandomKey()
	if err != nil {
		return err
	}
	h := rss.NewHasher(key)
	in := new([tuples][36]byte)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range in {
		for j := range in[i] {
			in[i][j] = byte(rng.Uint32())
		}
	}
	var sum uint32 // keeps the compiler from leaving the hash out
	loops := []struct {
		name string
		loop func(n int)
	}{
		{"toeplitz_ipv4", func(n int) {
			s := uint32(0)
			for i := range n {
				t := &in[i%tuples]
				s += h.IPv4(binary.BigEndian.Uint64(t[:]), binary.BigEndian.Uint32(t[8:]))
			}
			sum += s
		}},
		{"toeplitz_ipv6", func(n int) {
			s := uint32(0)
			for i := range n {
				t := &in[i%tuples]
				s += h.IPv6((*[32]byte)(t[:]), binary.BigEndian.Uint32(t[32:]))
			}
			sum += s
		}},
		{"slow", func(n int) {
			for i := range n {
				sum += rss.Slow(key, in[i%tuples][:12])
			}
		}},
		{"slow_ipv6", func(n int) {
			for i := range n {
				sum += rss.Slow(key, in[i%tuples][:])
			}
		}},
	}
	var contestants []contestant
	for _, l := range loops {
		contestants = append(contestants, contestant{l.name, func() error {
			r.Add(l.name, "ns", perOp(r.Time, l.loop))
			return nil
		}})
	}
	r.Ratio("toeplitz_ipv4/slow", "toeplitz_ipv4", "slow")
	r.Ratio("toeplitz_ipv6/slow_ipv6", "toeplitz_ipv6", "slow_ipv6")
	err = r.alternate(ctx, contestants)
	if sum == 0 {
		r.Fault("all hashes add up to zero")
	}
	return err
}

// perOp returns the nanoseconds of one turn of a loop that makes n, from a run
// of about d. The shorter runs that find n warm the caches.
func perOp(d time.Duration, loop func(n int)) float64 {
	for n := 1 << 10; ; {
		began := time.Now()
		loop(n)
		took := time.Since(began)
		if took >= d*3/4 {
			return float64(took.Nanoseconds()) / float64(n)
		}
		grow := float64(d) / float64(max(took, time.Microsecond))
		n = int(float64(n) * min(max(grow, 1.2), 100))
	}
}

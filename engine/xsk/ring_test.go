package xsk

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// newRing returns a ring in ordinary memory, both indexes at start, so that a
// test plays the kernel.
func newRing[T slot](size int, start uint32) ring[T] {
	r := ring[T]{
		produced: new(atomic.Uint32), consumed: new(atomic.Uint32), flags: new(atomic.Uint32),
		slots: make([]T, size),
	}
	r.produced.Store(start)
	r.consumed.Store(start)
	return r
}

// TestRingIsAQueue runs a producer against a consumer of the same memory and
// compares them with a slice, across the wrap of slots and of the 32-bit index.
func TestRingIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := 1 << rapid.IntRange(0, 5).Draw(t, "log2 size")
		start := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(1<<32-64, 1<<32-1)).Draw(t, "start")
		shared := newRing[uint64](size, start)
		p := producer[uint64]{ring: shared, next: start, limit: start}
		c := consumer[uint64]{ring: shared, next: start, limit: start}
		var model []uint64
		var last uint64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			want := rapid.IntRange(0, 2*size).Draw(t, "want")
			if rapid.Bool().Draw(t, "produce") {
				n := p.reserve(want)
				if free := size - len(model); n != min(want, free) {
					t.Fatalf("reserve(%d) = %d with %d slots free", want, n, free)
				}
				use := rapid.IntRange(0, n).Draw(t, "use") // what isn't used is not lost
				for range use {
					last++
					p.put(last)
					model = append(model, last)
				}
				p.publish()
				if got := p.backlog(); got != uint32(len(model)) {
					t.Fatalf("backlog() = %d, want %d", got, len(model))
				}
			} else {
				n := c.available(want)
				if n > min(want, len(model)) || n == 0 && want > 0 && len(model) > 0 {
					t.Fatalf("available(%d) = %d with %d slots ready", want, n, len(model))
				}
				for range n {
					if got := c.take(); got != model[0] {
						t.Fatalf("take() = %d, want %d", got, model[0])
					}
					model = model[1:]
				}
				c.release()
			}
		}
	})
}

// TestRingOfBrokenIndexes checks that no index that the kernel could write
// makes us use more slots than there are.
func TestRingOfBrokenIndexes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 16
		shared := newRing[unix.XDPDesc](size, 0)
		p := producer[unix.XDPDesc]{ring: shared}
		c := consumer[unix.XDPDesc]{ring: shared}
		for range 4 {
			index := rapid.Uint32().Draw(t, "index")
			shared.consumed.Store(index)
			if n := p.reserve(size + 1); n < 0 || n > size {
				t.Fatalf("reserve with consumer index %d: %d", index, n)
			}
			shared.produced.Store(index)
			if n := c.available(size + 1); n < 0 || n > size {
				t.Fatalf("available with producer index %d: %d", index, n)
			}
		}
	})
}

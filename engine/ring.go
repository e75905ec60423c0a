package engine

import (
	"fmt"
	"sync/atomic"
)

// cacheLine is the distance that keeps two cores' words apart: two lines,
// because the adjacent-line prefetcher of x86 fetches them in pairs.
const cacheLine = 128

// A ring is a bounded queue from one engine to another. The producer queues any
// number of items with push and makes them visible with one publish; the
// consumer does the same with pop and release. Each side keeps its own copy of
// the other's index and loads it only when the copy says that the ring is full
// or empty, so a batch costs each side one shared store.
type ring[T any] struct {
	slots []T
	mask  uint32

	_    [cacheLine]byte
	tail atomic.Uint32 // published by the producer
	_    [cacheLine]byte
	head atomic.Uint32 // published by the consumer
	_    [cacheLine]byte

	next     uint32 // producer only: next slot to write, at or ahead of tail
	seenHead uint32 // producer only: head as last loaded
	_        [cacheLine]byte

	first    uint32 // consumer only: next slot to read, at or ahead of head
	seenTail uint32 // consumer only: tail as last loaded
	_        [cacheLine]byte
}

// newRing returns a ring of size slots, a power of two.
func newRing[T any](size int) (*ring[T], error) {
	if size < 1 || size > 1<<20 || size&(size-1) != 0 {
		return nil, fmt.Errorf("engine: ring size %d is not a power of two up to 2^20", size)
	}
	return &ring[T]{slots: make([]T, size), mask: uint32(size - 1)}, nil
}

// push queues item for the next publish, or returns false when the ring is full.
func (r *ring[T]) push(item *T) bool {
	if r.next-r.seenHead > r.mask {
		r.seenHead = r.head.Load()
		if r.next-r.seenHead > r.mask {
			return false
		}
	}
	r.slots[r.next&r.mask] = *item
	r.next++
	return true
}

// publish makes pushed items visible and reports whether there were any.
func (r *ring[T]) publish() bool {
	if r.tail.Load() == r.next {
		return false
	}
	r.tail.Store(r.next)
	return true
}

// peek returns the oldest item that was not popped, or nil. It stays valid
// until release.
func (r *ring[T]) peek() *T {
	if r.first == r.seenTail {
		r.seenTail = r.tail.Load()
		if r.first == r.seenTail {
			return nil
		}
	}
	return &r.slots[r.first&r.mask]
}

// pop steps over the item that peek returned.
func (r *ring[T]) pop() { r.first++ }

// release lets the producer have the popped items' slots.
func (r *ring[T]) release() {
	if r.head.Load() != r.first {
		r.head.Store(r.first)
	}
}

// empty reports whether the consumer would find nothing. Consumer only.
func (r *ring[T]) empty() bool { return r.first == r.tail.Load() }

// length returns how many published items wait. It is exact when both sides
// are at rest.
func (r *ring[T]) length() int { return int(r.tail.Load() - r.head.Load()) }

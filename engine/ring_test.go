package engine

import (
	"runtime"
	"testing"
)

func TestRingOrderAndBounds(t *testing.T) {
	r, err := newRing[int](4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if !r.push(&i) {
			t.Fatalf("push %d failed in a ring of 4", i)
		}
	}
	five := 5
	if r.push(&five) {
		t.Fatal("a ring of 4 took a fifth item")
	}
	if r.peek() != nil {
		t.Fatal("items are visible before publish")
	}
	if !r.publish() || r.publish() {
		t.Fatal("publish should report new items once")
	}
	for i := range 4 {
		got := r.peek()
		if got == nil || *got != i {
			t.Fatalf("item %d is %v", i, got)
		}
		r.pop()
	}
	if r.push(&five) {
		t.Fatal("slots came back before release")
	}
	r.release()
	if !r.push(&five) {
		t.Fatal("slots did not come back with release")
	}
}

func TestRingSizes(t *testing.T) {
	for _, size := range []int{-1, 0, 3, 1000, 1 << 21} {
		if _, err := newRing[int](size); err == nil {
			t.Errorf("a ring of %d slots was made", size)
		}
	}
}

// Two goroutines, the race detector and a small ring: nothing is lost, nothing
// reordered, indexes wrap.
func TestRingConcurrent(t *testing.T) {
	r, err := newRing[uint32](8)
	if err != nil {
		t.Fatal(err)
	}
	const n = 50000
	go func() {
		for i := uint32(0); i < n; {
			if r.push(&i) {
				i++
			} else {
				runtime.Gosched()
			}
			r.publish()
		}
	}()
	for want := uint32(0); want < n; {
		got := r.peek()
		if got == nil {
			r.release()
			runtime.Gosched()
			continue
		}
		if *got != want {
			t.Fatalf("item %d came out as %d", want, *got)
		}
		r.pop()
		want++
	}
}

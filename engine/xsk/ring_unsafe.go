package xsk

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapRing maps a ring of size slots of the socket fd. It is sound because the
// kernel lays a ring out in one mapping as the offsets say (XDP_MMAP_OFFSETS),
// each index aligned to its own cache line and the slots behind them aligned to
// 64 bytes (struct xdp_ring in net/xdp/xsk_queue.h), because a slot type T has
// the kernel's layout and no pointers, and because the mapping lives until
// unmap, after which nobody may use the ring.
func mapRing[T slot](fd int, page int64, at unix.XDPRingOffset, size int) (ring[T], error) {
	var one T
	length := int(at.Desc) + size*int(unsafe.Sizeof(one))
	mem, err := unix.Mmap(fd, page, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring[T]{}, fmt.Errorf("map a ring of %d bytes: %w", length, err)
	}
	base := unsafe.Pointer(unsafe.SliceData(mem))
	return ring[T]{
		produced: (*atomic.Uint32)(unsafe.Add(base, at.Producer)),
		consumed: (*atomic.Uint32)(unsafe.Add(base, at.Consumer)),
		flags:    (*atomic.Uint32)(unsafe.Add(base, at.Flags)),
		slots:    unsafe.Slice((*T)(unsafe.Add(base, at.Desc)), size),
		mapping:  mem,
	}, nil
}

// unmap ends the ring. Using it afterwards panics on a nil pointer.
func (r *ring[T]) unmap() error {
	mem := r.mapping
	*r = ring[T]{}
	if mem == nil {
		return nil
	}
	return unix.Munmap(mem)
}

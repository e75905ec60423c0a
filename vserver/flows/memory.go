package flows

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a transparent huge page on x86-64 and on arm64 with
// 4 KiB pages. With other sizes alignment to it is still correct.
const hugePage = 2 << 20

// A memory is the table's mapping: outside the Go heap, so that the collector
// neither scans nor counts it, and on huge pages where the kernel has them.
// Without them nearly every look-up in a large table also misses the TLB.
type memory struct {
	mapping []byte // as mapped, with slack to align in
	used    []byte // starts at a huge page
}

// newMemory maps size bytes of zeroes.
func newMemory(size int) (memory, error) {
	mapping, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return memory{}, fmt.Errorf("map %d bytes: %w", size, err)
	}
	at := -uintptr(unsafe.Pointer(&mapping[0])) % hugePage
	m := memory{mapping: mapping, used: mapping[at:][:size:size]}
	// Advice: a kernel without huge pages refuses it, and the table is slower.
	_ = unix.Madvise(mapping[at:], unix.MADV_HUGEPAGE)
	return m, nil
}

// close unmaps. Nothing may refer to the memory any more.
func (m *memory) close() error {
	if m.mapping == nil {
		return nil
	}
	mapping := m.mapping
	*m = memory{}
	return unix.Munmap(mapping)
}

// carve takes n values of T from the front of the memory.
//
// T must hold no pointers. The conversion is sound: the memory is not the
// collector's, it is all zeroes, which is a value of T; the slice expression
// proves that n values fit; and it is aligned, because it starts at a cache
// line, as New sees to.
func carve[T bucket | Record](m *memory, n int) []T {
	var t T
	size := n * int(unsafe.Sizeof(t))
	part := m.used[:size:size]
	m.used = m.used[size:]
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(part))), n)
}

// number returns which record r is.
//
// r points into t.records, as every Record that a Table hands out does; the
// subtraction is between two addresses of that one mapping.
func (t *Table) number(r *Record) uint32 {
	offset := uintptr(unsafe.Pointer(r)) - uintptr(unsafe.Pointer(unsafe.SliceData(t.records)))
	return uint32(offset / unsafe.Sizeof(*r))
}

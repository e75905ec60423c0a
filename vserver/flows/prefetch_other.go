//go:build !amd64 && !arm64

package flows

import (
	"sync/atomic"
	"unsafe"
)

// prefetch loads a word of the cache line of p, which points to one: the next
// best thing. The load is atomic so that the compiler keeps it.
func prefetch(p unsafe.Pointer) { atomic.LoadUint32((*uint32)(p)) }

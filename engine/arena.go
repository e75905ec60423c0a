package engine

import (
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"
)

// Headroom is how many bytes in front of a received frame belong to the
// receiver: the kernel's XDP_PACKET_HEADROOM (include/uapi/linux/bpf.h). VLAN
// tags and tunnel headers are prepended there without moving the packet.
const Headroom = 256

// An Arena is the packet memory of a node: one mapping, cut into frames of
// equal size, outside the Go heap so that the collector never looks at it.
// Every AF_XDP socket registers the same Arena as its UMEM, which is why a
// frame received on one port leaves through another without a copy.
type Arena struct {
	mem   []byte
	shift uint8 // log2 of the frame size
}

// NewArena maps frames frames of frameSize bytes each. frameSize is 2048 or
// 4096: what the kernel accepts for aligned chunks (net/xdp/xdp_umem.c). Close
// unmaps.
func NewArena(frames, frameSize int) (*Arena, error) {
	if frameSize != 2048 && frameSize != 4096 {
		return nil, fmt.Errorf("engine: arena: frame size %d is neither 2048 nor 4096", frameSize)
	}
	if frames < 1 || frames > 1<<22 {
		return nil, fmt.Errorf("engine: arena: %d frames, want 1 to %d", frames, 1<<22)
	}
	mem, err := unix.Mmap(-1, 0, frames*frameSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("engine: arena: map %d bytes: %w", frames*frameSize, err)
	}
	return &Arena{mem: mem, shift: uint8(bits.TrailingZeros(uint(frameSize)))}, nil
}

// Close unmaps the memory. No port and no engine may use it any more.
func (a *Arena) Close() error { return unix.Munmap(a.mem) }

// Memory returns the whole mapping, for a port to register.
func (a *Arena) Memory() []byte { return a.mem }

// Frames returns how many frames there are.
func (a *Arena) Frames() int { return len(a.mem) >> a.shift }

// FrameSize returns the bytes of a frame, headroom included.
func (a *Arena) FrameSize() int { return 1 << a.shift }

// MaxPacket returns the longest Ethernet frame that fits behind the headroom.
func (a *Arena) MaxPacket() int { return a.FrameSize() - Headroom }

// Bytes returns the bytes of s. Their capacity ends with s, so that no append
// runs into what lies behind.
func (a *Arena) Bytes(s Segment) []byte {
	at := int(s.Frame)<<(a.shift&63) + int(s.Off)
	return a.mem[at : at+int(s.Len) : at+int(s.Len)]
}

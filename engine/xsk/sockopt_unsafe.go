package xsk

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// registerUMEM registers mem, cut into chunks of frameSize bytes, as the
// socket's packet memory. The kernel pins its pages until the socket is gone,
// so unmapping mem earlier is safe, if pointless. It is sound because reg lives
// through the call, and mem is not on the Go heap: its address cannot change.
func registerUMEM(fd int, mem []byte, frameSize int) error {
	reg := unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))),
		Len:  uint64(len(mem)),
		Size: uint32(frameSize),
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// mmapOffsets asks where in its mapping each ring has its parts.
func mmapOffsets(fd int) (unix.XDPMmapOffsets, error) {
	return getsockopt[unix.XDPMmapOffsets](fd, unix.XDP_MMAP_OFFSETS)
}

// xdpStatistics asks for the kernel's counters of the socket.
func xdpStatistics(fd int) (unix.XDPStatistics, error) {
	return getsockopt[unix.XDPStatistics](fd, unix.XDP_STATISTICS)
}

// xdpOptions asks for the flags of struct xdp_options (XDP_OPTIONS_ZEROCOPY).
func xdpOptions(fd int) (uint32, error) {
	return getsockopt[uint32](fd, unix.XDP_OPTIONS)
}

// getsockopt reads an option of level SOL_XDP whose value has the layout of T.
// It is sound because the kernel writes at most size bytes, the size of value,
// and T has no pointers.
func getsockopt[T unix.XDPMmapOffsets | unix.XDPStatistics | uint32](fd, option int) (value T, err error) {
	size := uint32(unsafe.Sizeof(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return value, errno
	}
	return value, nil
}

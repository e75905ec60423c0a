package nic

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl runs a command, which begins with its number, and takes its answer. It
// fails with ENODEV if the interface is not the one it was.
func (e *ethtool) ioctl(command []byte) error {
	request, err := unix.NewIfreq(e.name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(e.fd, unix.SIOCGIFINDEX, request); err != nil {
		return err
	}
	if int(request.Uint32()) != e.index {
		return unix.ENODEV
	}
	// struct ifreq: the name, then a pointer, in a union of 24 bytes. Both it and
	// the command are alive until the call returns, and then the kernel has done
	// with them.
	var ifreq struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [24 - unsafe.Sizeof(uintptr(0))]byte
	}
	copy(ifreq.name[:], e.name)
	ifreq.data = unsafe.Pointer(unsafe.SliceData(command))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(e.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq)))
	if errno != 0 {
		return errno
	}
	return nil
}

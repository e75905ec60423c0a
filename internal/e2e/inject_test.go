package e2e

import (
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"appliance/internal/lab"
)

// An injector puts raw frames onto a link, as its host's kernel never would, and
// reads what comes back.
type injector struct {
	fd       int
	src, dst [6]byte // link-layer addresses of this end and of the other
}

// inject opens a packet socket on a host's interface, toward the station that
// has the MAC address dst.
func inject(t *testing.T, at *lab.Namespace, link, dst string) *injector {
	t.Helper()
	to, err := net.ParseMAC(dst)
	if err != nil {
		t.Fatal(err)
	}
	i := &injector{fd: -1, dst: [6]byte(to)}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	err = at.In(func() error {
		own, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		i.src = [6]byte(own.HardwareAddr)
		if i.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(i.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: own.Index})
	})
	t.Cleanup(func() { unix.Close(i.fd) })
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// send puts frames onto the link, under the injector's link-layer addresses
// unless the frame is for a group. What the other end's kernel refuses, its
// counters tell.
func (i *injector) send(t *testing.T, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if f[0]&1 == 0 {
			copy(f, i.dst[:])
		}
		copy(f[6:], i.src[:])
		if _, err := unix.Write(i.fd, f); err != nil && !errors.Is(err, unix.ENOBUFS) {
			t.Fatalf("send a frame of %d bytes: %v", len(f), err)
		}
	}
}

// receive returns the first frame that the other end sends and want accepts.
func (i *injector) receive(t *testing.T, want func(frame []byte) bool) []byte {
	t.Helper()
	buf := make([]byte, 64<<10)
	for end := time.Now().Add(patience); ; {
		left := unix.NsecToTimeval(max(time.Until(end), time.Millisecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(i.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &left); err != nil {
			t.Fatal(err)
		}
		n, err := unix.Read(i.fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			t.Fatalf("no frame came that the test waits for: %v", err)
		case n >= 14 && [6]byte(buf[6:12]) == i.dst && want(buf[:n]):
			return buf[:n]
		}
	}
}

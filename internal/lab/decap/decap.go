// Package decap takes packets out of packets: it is what a backend of modes ipip
// and gue needs, for hosts whose kernel has no tunnel devices. What a tunnel
// device would receive, it reads from ordinary sockets; what such a device would
// deliver, it writes to a TUN device.
//
//	IP protocols 4 and 41, over IPv4 and IPv6   raw sockets ─┐
//	UDP, with a GUE header of version 0         UDP socket ──┴─► TUN device ─► kernel
//
// # Limits
//
// It is for the lab. ECN is not carried over from outside (RFC 6040 section
// 4.2), because nothing there marks packets.
package decap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// GUEPort is the UDP port of GUE.
const GUEPort = 6080

// receiveBuffer holds the packets that arrive while the reading goroutine waits
// for a processor: some 1,500 long ones. The kernel's own limit, which root may
// exceed, would hold 90.
const receiveBuffer = 4 << 20

// Config says where packets come from and where they go.
type Config struct {
	IPv6         bool                                                  // listen on IPv6 too
	ListenPacket func(network, address string) (net.PacketConn, error) // opens a socket on the host
	Device       io.WriteCloser                                        // takes packets without anything in front; closed by Close
}

// A Decapsulator runs until it is closed.
type Decapsulator struct {
	cfg   Config
	conns []net.PacketConn
	done  sync.WaitGroup
}

// Start opens the sockets and takes packets out from then on. After an error
// nothing is open but cfg.Device.
func Start(cfg Config) (*Decapsulator, error) {
	d := &Decapsulator{cfg: cfg}
	families := []string{"4"}
	if cfg.IPv6 {
		families = append(families, "6")
	}
	for _, f := range families {
		for _, s := range []struct {
			network, port string
			take          func([]byte) []byte
		}{
			{"ip" + f + ":4", "", whole}, {"ip" + f + ":41", "", whole}, {"udp" + f, fmt.Sprint(":", GUEPort), behindGUE},
		} {
			address := map[string]string{"4": "0.0.0.0", "6": "::"}[f]
			if s.port != "" {
				address = s.port
			}
			if err := d.listen(s.network, address, s.take); err != nil {
				d.stop()
				return nil, fmt.Errorf("decap: listen on %s: %w", s.network, err)
			}
		}
	}
	return d, nil
}

// listen opens a socket and serves it.
func (d *Decapsulator) listen(network, address string, take func([]byte) []byte) error {
	conn, err := d.cfg.ListenPacket(network, address)
	if err != nil {
		return err
	}
	d.conns = append(d.conns, conn)
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	})
	if err := errors.Join(err, set); err != nil {
		return err
	}
	d.done.Go(func() { d.serve(conn, take) })
	return nil
}

// serve takes packets out of what a socket receives, until it is closed. The
// kernel has taken off the outer IP header.
func (d *Decapsulator) serve(conn net.PacketConn, take func([]byte) []byte) {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if packet := take(buf[:n]); packet != nil {
			_, _ = d.cfg.Device.Write(packet) // the kernel refuses what is no IP packet
		}
	}
}

// whole returns the packet that is all of an outer packet's payload.
func whole(payload []byte) []byte { return payload }

// behindGUE returns the packet behind a GUE header of version 0 without optional
// fields, or nil if there is none.
func behindGUE(payload []byte) []byte {
	const size = 4
	if len(payload) < size || payload[0] != 0 || payload[1] != 4 && payload[1] != 41 || payload[2] != 0 || payload[3] != 0 {
		return nil
	}
	return payload[size:]
}

// stop closes the sockets and waits until nobody reads them.
func (d *Decapsulator) stop() {
	for _, c := range d.conns {
		c.Close()
	}
	d.done.Wait()
}

// Close ends it, and closes the device.
func (d *Decapsulator) Close() error {
	d.stop()
	return d.cfg.Device.Close()
}

package decap

import (
	"bytes"
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestBehindGUE(t *testing.T) {
	for _, c := range []struct {
		name       string
		have, want []byte
	}{
		{"IPv4", []byte{0, 4, 0, 0, 'x'}, []byte{'x'}},
		{"IPv6", []byte{0, 41, 0, 0, 'x', 'y'}, []byte{'x', 'y'}},
		{"nothing", nil, nil},
		{"too short", []byte{0, 4, 0}, nil},
		{"version 1", []byte{0x45, 0, 0, 20}, nil},
		{"control message", []byte{0x20, 4, 0, 0, 'x'}, nil},
		{"optional fields", []byte{1, 4, 0, 0, 0, 0, 0, 0, 'x'}, nil},
		{"flags", []byte{0, 4, 1, 0, 'x'}, nil},
		{"another protocol", []byte{0, 17, 0, 0, 'x'}, nil},
	} {
		if got := behindGUE(c.have); !bytes.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %x, want %x", c.name, got, c.want)
		}
	}
}

// A device that a failed Start must leave open.
type device struct{ closed bool }

func (d *device) Write(b []byte) (int, error) { return len(b), nil }

func (d *device) Close() error {
	d.closed = true
	return nil
}

func TestFailedStartClosesSockets(t *testing.T) {
	var first net.PacketConn
	d := new(device)
	_, err := Start(Config{Device: d, ListenPacket: func(string, string) (net.PacketConn, error) {
		if first != nil {
			return nil, syscall.EPERM
		}
		var err error
		first, err = net.ListenPacket("udp4", "127.0.0.1:0")
		return first, err
	}})
	if !errors.Is(err, syscall.EPERM) || d.closed {
		t.Fatalf("Start: %v, device closed: %v", err, d.closed)
	}
	if _, _, err := first.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first socket is open after a failed Start: %v", err)
	}
}

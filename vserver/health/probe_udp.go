package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// maxDatagram is how much of an answering datagram is looked at, in bytes.
const maxDatagram = 4 << 10

func (c Check) validateUDP() error {
	if len(c.Send) > MaxBytes {
		return fmt.Errorf("%w: %d bytes to send, want %d at most", ErrBadTarget, len(c.Send), MaxBytes)
	}
	return c.validateExpect()
}

// datagram returns what sends one datagram and judges the first that comes back.
// The kernel hands over datagrams of the backend's address and port only, and
// its host's word that nobody listens (ICMP port unreachable) as an error.
func (c Check) datagram() func(context.Context, net.Conn) error {
	send, expect := []byte(c.Send), c.expectation()
	return func(_ context.Context, conn net.Conn) error {
		if _, err := conn.Write(send); err != nil {
			return fmt.Errorf("health: send: %w", err)
		}
		answer := make([]byte, maxDatagram)
		n, err := conn.Read(answer)
		if c.SilenceOK && errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("health: receive: %w", err)
		}
		if err := expect.check(answer[:n]); err != nil {
			return fmt.Errorf("health: receive: %w", err)
		}
		return nil
	}
}

package health

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"time"
)

// A prober runs one check: nil is success, an error says what was wrong. It ends
// soon after ctx does, and leaves no connection behind.
type prober func(ctx context.Context) error

// prober returns what checks s. pool is the certificates of its CA.
func (c *Checker) prober(s subject, pool *x509.CertPool) prober {
	network, talk := "tcp", func(context.Context, net.Conn) error { return nil }
	switch s.check.Type {
	case HTTP, HTTPS:
		talk = s.web(pool)
	case UDP:
		network, talk = "udp", s.check.datagram()
	case DNS:
		network, talk = "udp", s.check.query()
	}
	dial := c.cfg.Dial
	if dial == nil {
		dial = s.dialer(network).DialContext
	}
	address := s.addr.String()
	return func(ctx context.Context) error {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return fmt.Errorf("health: connect: %w", err)
		}
		defer conn.Close() // what is lost with it doesn't matter: the verdict is known
		defer interrupt(ctx, conn)()
		return talk(ctx, conn)
	}
}

// dialer opens connections from the check's source address.
func (s subject) dialer(network string) *net.Dialer {
	d := new(net.Dialer)
	if from := s.check.Source; from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice(), Zone: from.Zone()}
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: from.AsSlice(), Zone: from.Zone()}
		}
	}
	return d
}

// interrupt makes reads and writes of conn fail once ctx ends, until stop is
// called.
func interrupt(ctx context.Context, conn net.Conn) (stop func()) {
	release := context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0)) // it fails on a closed connection only
	})
	return func() { release() }
}

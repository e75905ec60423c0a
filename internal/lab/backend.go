package lab

import (
	"fmt"
	"net/netip"
	"os"

	"appliance/internal/lab/decap"
	"appliance/internal/lab/origin"
)

// A Backend is a host with real servers: HTTP, TCP and UDP (see package
// origin), on its own addresses and on every VIP. They call themselves by the
// host's name, b1 and so on. Stop and Start end and begin them;
// Packets(HostLink) counts what crossed the host's link. In a lab with tunnels it
// takes packets out of ipip and gue too, whether its servers run or not.
type Backend struct {
	*Namespace
	*origin.Server
	Addr Addrs // on the server plane

	tunnels *decap.Decapsulator // nil unless the lab has tunnels
}

// newBackend returns a backend whose servers are stopped.
func newBackend(n *Namespace, addr Addrs, serve []netip.Addr) *Backend {
	return &Backend{Namespace: n, Addr: addr, Server: origin.New(origin.Config{
		Name:         n.Host(),
		Addrs:        serve,
		Listen:       n.Listen,
		ListenPacket: n.ListenPacket,
	})}
}

// tunnelDevice is the device of a backend that packets come out of.
const tunnelDevice = "decap0"

// openTunnels has the backend take packets out of ipip and gue.
func (b *Backend) openTunnels(ipv6 bool) error {
	var device *os.File
	err := b.In(func() (err error) {
		device, err = decap.OpenTUN(tunnelDevice)
		return err
	})
	if err != nil {
		return fmt.Errorf("lab: open tunnels of %s: %w", b.name, err)
	}
	if err = b.SetLink(tunnelDevice, true); err == nil {
		b.tunnels, err = decap.Start(decap.Config{IPv6: ipv6, ListenPacket: b.ListenPacket, Device: device})
	}
	if err != nil {
		device.Close()
		return fmt.Errorf("lab: open tunnels of %s: %w", b.name, err)
	}
	return nil
}

// closeTunnels undoes openTunnels.
func (b *Backend) closeTunnels() error {
	if b.tunnels == nil {
		return nil
	}
	return b.tunnels.Close()
}

package lab

import (
	"net/netip"

	"appliance/internal/lab/origin"
)

// A Backend is a host with real servers: HTTP, TCP and UDP (see package
// origin), on its own addresses and on every VIP. They call themselves by the
// host's name, b1 and so on. Stop and Start end and begin them;
// Packets(HostLink) counts what crossed the host's link.
type Backend struct {
	*Namespace
	*origin.Server
	Addr Addrs // on the server plane
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

package vserver

import (
	"net/netip"

	"appliance/engine"
	"appliance/engine/packet"
)

// EncapConfig is what services in ipip and gue share.
type EncapConfig struct {
	// Sources are prefixes of at most one for each family. Packets toward a
	// backend come from the addresses of the one of its family: a flow from one
	// of them, and flows spread over all, so that the backend's network card
	// spreads them over its queues. They are dedicated: nobody has one of these
	// addresses, and the routers send them to this node, for the errors that
	// they draw on the way.
	Sources []netip.Prefix

	// GUEPort is the UDP port that backends in gue receive on. 0: DefaultGUEPort.
	GUEPort uint16
}

// DefaultGUEPort is the port that IANA has assigned to GUE.
const DefaultGUEPort = 6080

// source returns the prefix of a backend's family. There is one if the
// configuration is valid.
func (c *EncapConfig) source(backend netip.Addr) (p netip.Prefix, ok bool) {
	for _, p := range c.Sources {
		if p.Addr().Is4() == backend.Is4() {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// holds returns the prefix that an address lies in, if it does in any.
func (c *EncapConfig) holds(a netip.Addr) (p netip.Prefix, ok bool) {
	for _, p := range c.Sources {
		if p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// tunnels reports whether packets reach backends in this mode inside of others.
func (m Mode) tunnels() bool { return m == IPIP || m == GUE }

// tunnelTo says how a service's packets get to a backend in ipip or gue.
func (c *EncapConfig) tunnelTo(s *ServiceConfig, backend netip.Addr) packet.TunnelConfig {
	t := packet.TunnelConfig{Far: backend, Inner6: s.VIP.Is6()}
	t.Sources, _ = c.source(backend)
	if s.Mode == GUE {
		t.GUEPort = c.GUEPort
	}
	return t
}

// dig gives a backend its tunnel, which has to fit into its path's MTU too.
func (b *backend) dig(c *EncapConfig, s *ServiceConfig) {
	to := c.tunnelTo(s, b.config.Address)
	b.tunnel = packet.NewTunnel(&to)
	b.mtu -= min(b.mtu, uint16(to.Overhead()))
}

// encapsulate sends a packet inside of one to its backend, or drops it if the
// driver has left no room in front of the frame.
func (h *Handler) encapsulate(p *engine.Packet, be *backend) {
	if int(p.Off) < be.tunnel.Size()+packet.VLANSize {
		drop(p, packet.NoHeadroom)
		return
	}
	whole := h.arena.Bytes(engine.Segment{Frame: p.Frame, Len: p.Off + p.Len})
	grew := be.tunnel.Wrap(whole, int(p.Off), &p.Info, entropy(p.Hash))
	p.Off -= uint16(grew)
	p.Len += uint16(grew)
	h.send(p, h.arena.Bytes(p.Segment), be.next)
}

// entropy spreads what sets a flow's hash apart over 32 bits: those of one
// engine and node have the low bits of their hashes in common, those of one
// backend what Maglev makes of them. It is a bijection, the finalizer of
// MurmurHash3 with other multipliers (Chris Wellons' lowbias32): with Maglev's,
// the flows of a backend would have but a few of the sources.
func entropy(hash uint32) uint32 {
	hash = (hash ^ hash>>16) * 0x7feb352d
	hash = (hash ^ hash>>15) * 0x846ca68b
	return hash ^ hash>>16
}

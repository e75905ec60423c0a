package vserver

import (
	"net/netip"

	"appliance/engine/packet"
	"appliance/internal/fib"
	"appliance/vserver/flows"
)

// Services is all that engines know of the virtual servers and the routes: what
// a Snapshot's App holds. A Builder makes one; it is immutable, so any number
// of engines may read it.
type Services struct {
	byPort index // VIP, port and protocol -> services of one port
	vips   index // VIP -> 1 + index in ranges; 0: it has none
	bySNIP index // SNIP -> snips

	byWay index // interface and VLAN -> ways

	ranges   []portMap     // services of more than one port, by VIP
	services []service     // by slot; vacant slots are zero
	list     []uint32      // slots of the services, in the order of config
	backends []backend     // by slot
	snips    []snip        // by number
	ways     []fib.NextHop // by number, without Dst; those that are down are zero
	snips4   []uint16      // numbers of those in use, by family
	snips6   []uint16
	roster   flows.Roster
	ports    *flows.Ports
	routes   *fib.Table
	memory   *sticky // nil: no service keeps clients for a time
	config   Config
}

// noServices stands in where none were published: nothing is ours.
var noServices = &Services{
	byPort: newIndex(0), vips: newIndex(0), bySNIP: newIndex(0), byWay: newIndex(0),
	routes: new(fib.Table),
}

// A service is a virtual server as packets need it.
type service struct {
	// For every packet: within a cache line.
	ref           flows.Ref
	mode          Mode
	onNoBackend   Refusal
	onNoFlow      Refusal
	onBackendDown Demise
	mss           uint16   // the most that SYNs may ask for; 0: anything
	vip           [16]byte // IPv4-mapped if IPv4
	timeouts      flows.Timeouts

	pool       *pool          // nil: no backend is eligible
	members    []uint32       // slots of eligible backends, by index in the pool
	rivals     []rival        // the same, where the number of their flows matters; else nil
	backups    bool           // the members are backups
	unroutable bool           // no route leads to the members
	affinity   *affinity      // nil: none
	share      *share         // nil: no limit
	most       int64          // flows that it may have
	list       []uint32       // slots of all backends, in the order of config
	config     *ServiceConfig // nil: the slot is vacant
}

// A backend is a real server of one service.
type backend struct {
	addr   [16]byte // IPv4-mapped if IPv4
	port   uint16   // 0: the one that the client has asked for
	up     bool     // its health check succeeds
	member bool     // of its service's pool
	ref    flows.Ref
	next   *fib.NextHop // valid unless found is NoRoute
	found  fib.Result
	mtu    uint16 // longest packet of a client that fits its path, inside of the tunnel if there is one; valid unless found is NoRoute

	tunnel  *packet.Tunnel // ipip, gue: what puts packets into others to it; else nil
	config  *BackendConfig // nil: the slot is vacant
	service uint32         // slot
	step    int            // how far its slow start has come; 0: not up
	share   *share         // nil: nobody asks
}

// eligible reports whether the backend takes new flows. Established ones stay
// with it in any case.
func (b *backend) eligible() bool { return b.up && b.config.Weight > 0 }

// full reports whether the backend may have no further flow.
func (b *backend) full() bool {
	return b.config.MaxFlows > 0 && b.share.open.Load() >= int64(b.config.MaxFlows)
}

// portFor returns the port that a flow to a port of the service has at the
// backend.
func (b *backend) portFor(port uint16) uint16 {
	if b.port != 0 {
		return b.port
	}
	return port
}

// A snip is a source address toward backends. Its number is never given to
// another, so that flow records may name it.
type snip struct {
	addr  [16]byte // IPv4-mapped if IPv4
	inUse bool     // else the configuration has dropped it, and its flows are over
}

// serviceKey is what makes a service the same one after a reload.
type serviceKey struct {
	vip   netip.Addr
	ports PortRange
	proto Protocol
	mode  Mode
}

// backendKey is what makes a backend the same one after a reload.
type backendKey struct {
	service flows.Ref
	addr    netip.AddrPort
}

// Config returns the configuration, defaults filled in. It is not to be
// changed.
func (s *Services) Config() *Config { return &s.config }

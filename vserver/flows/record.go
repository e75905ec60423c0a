package flows

import "unsafe"

// A Ref names a service or a backend across reloads: its slot in the low 24
// bits, the slot's generation in the high 8. A slot that gets a new occupant
// gets the next generation, so a Record that still names the old one is
// recognized as stale.
type Ref uint32

// MaxSlots is how many slots a Ref can tell apart.
const MaxSlots = 1 << 24

// MakeRef returns the Ref of generation gen of slot, which is below MaxSlots.
func MakeRef(slot uint32, gen uint8) Ref { return Ref(uint32(gen)<<24 | slot&(MaxSlots-1)) }

// Slot returns the slot.
func (r Ref) Slot() uint32 { return uint32(r) & (MaxSlots - 1) }

// Gen returns the slot's generation.
func (r Ref) Gen() uint8 { return uint8(r >> 24) }

// A Peer is a backend as the keys of return packets see it.
type Peer struct {
	Addr [16]byte // an IPv4 address as IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2)
	Gen  uint8    // current generation of the slot
}

// A Roster says who is current: the generation of every service slot and the
// backend in every backend slot. It is part of the owner's snapshot and
// immutable. Flows of a service or a backend whose slot has left the Roster, or
// has another generation there, are stale: absent, and freed when met.
type Roster struct {
	Services []uint8 // current generation, by service slot
	Peers    []Peer  // by backend slot
}

// backend returns the backend that ref names, nil if it is not current.
func (o *Roster) backend(ref Ref) *Peer {
	slot := ref.Slot()
	if slot >= uint32(len(o.Peers)) || o.Peers[slot].Gen != ref.Gen() {
		return nil
	}
	return &o.Peers[slot]
}

// service reports whether ref is current.
func (o *Roster) service(ref Ref) bool {
	slot := ref.Slot()
	return slot < uint32(len(o.Services)) && o.Services[slot] == ref.Gen()
}

// A Side is an end of a flow.
type Side uint8

// The sides: a packet of the client travels forward, one of the server returns.
const (
	Client Side = iota
	Server
)

// A ForwardKey is what tells apart the packets of clients. It needs no
// protocol: a service has one.
type ForwardKey struct {
	Client      [16]byte // source address; IPv4 as IPv4-mapped IPv6 address
	ClientPort  uint16   // source port; never 0, which marks records that no packet may find
	ServicePort uint16   // destination port
	Service     Ref      // whose the destination address, port and protocol are
}

// A ReturnKey is what tells apart the packets of backends in nat.
type ReturnKey struct {
	Backend     [16]byte // source address; IPv4 as IPv4-mapped IPv6 address
	BackendPort uint16   // source port
	SNIPPort    uint16   // destination port; never 0
	SNIP        uint16   // number of the destination address
	Proto       uint8    // packet.ProtoTCP or packet.ProtoUDP
}

// A Record is one flow: a cache line, without pointers. The caller of Insert
// fills what is marked "set"; afterwards it reads what it likes, and changes a
// Record, but for its Note, through methods only.
type Record struct {
	ForwardKey            // set
	BackendPort uint16    // set: where the client's packets go
	SNIPPort    uint16    // set: what PickPort chose; 0 in dsr, where no return packet comes by
	SNIP        uint16    // set in nat: number of the source address toward the backend
	Proto       uint8     // set: packet.ProtoTCP or packet.ProtoUDP
	State       State     // how far the flow has come
	Backend     Ref       // set: where the client's packets go
	Hash        uint32    // set: hash of the client's packets. While State is Free: the next free record
	ReturnHash  uint32    // set in nat: hash of the backend's packets, as PickPort returned it
	Deadline    uint32    // tick at which the flow expires
	closed      [2]uint32 // TCP, by Side: sequence number behind its FIN, or of its RST. Before, in nat: the server's, behind its SYN; the client's, what the server has acknowledged
	Note        uint64    // the caller's own: the table neither reads nor changes it
}

// A Record is exactly one cache line of x86 and of most arm64 cores: these lines
// stop compiling when it isn't.
const (
	_ = 64 - unsafe.Sizeof(Record{})
	_ = unsafe.Sizeof(Record{}) - 64
)

// nat reports whether the backend's packets come back through this node.
func (r *Record) nat() bool { return r.SNIPPort != 0 }

// answers reports whether the flow's return packets have this key. Those of a
// backend that is not current have none.
func (r *Record) answers(k *ReturnKey, roster *Roster) bool {
	if r.SNIPPort != k.SNIPPort || r.BackendPort != k.BackendPort || r.SNIP != k.SNIP || r.Proto != k.Proto {
		return false
	}
	peer := roster.backend(r.Backend)
	return peer != nil && peer.Addr == k.Backend
}

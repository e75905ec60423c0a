// Package xsk drives AF_XDP sockets: it is the [engine.Port] of a real network
// interface.
//
// An AF_XDP socket is bound to one queue of one interface. An XDP program on
// that interface (package xdp) gives the socket the frames that the appliance
// wants, before the kernel's network stack sees them. Socket and kernel share
// memory and four rings; a system call is needed only to wake the kernel up.
//
// # Rings
//
// Each ring has one producer and one consumer, a power of two of slots, and two
// free-running 32-bit indexes: the producer writes a slot, then its index with
// release semantics; the consumer reads the index with acquire semantics, then
// the slot.
//
//	engine                          kernel
//	Refill  ──── fill ────────────► takes frames to receive into
//	Receive ◄─── rx ─────────────── frames with a packet in them
//	Transmit ─── tx ──────────────► frames to send
//	Reclaim ◄─── completion ─────── frames that were sent
//
// An index is published once a batch, and the other side's index is read only
// when the copy of it that we keep says "full" or "empty": each publication and
// each read moves a cache line between two cores.
//
// # Packet memory
//
// Every socket registers the whole [engine.Arena] as its own UMEM and has its
// own fill and completion rings. So all sockets of a node see the same frames,
// and a frame received on one is sent by another without a copy, whatever mode
// (zero-copy or copy) either is in. Sharing one UMEM object between sockets
// (XDP_SHARED_UMEM) would do that too, but it forces the first socket's mode on
// all of them, and lets a socket be opened only while another one is bound. The
// price is kernel memory a socket: a page pointer a page of the Arena, and some
// 120 bytes a frame (Linux 6.18).
//
// # Ownership law
//
// A socket keeps a byte a frame that says what the socket holds it for:
// nothing, receiving, or transmitting. Refill and Transmit set it, Receive and
// Reclaim clear it. A descriptor that comes back from the kernel is believed
// only if that byte agrees and its bounds lie inside the frame; else it is
// counted in PortStats.BadDescriptors and ignored. The law holds at any moment:
//
//	posted to receive + being transmitted = frames whose byte is not "nothing"
//
// At most Config.Fill frames are posted and at most Config.Completion are being
// transmitted at a time. The latter bound is why the completion ring cannot
// overflow, and the sum is [Config.Frames], by which an arena is dimensioned.
// Close gives back what is held, as soon as the driver cannot touch it any more.
//
// # Waking the kernel
//
// In copy mode the kernel sends only inside of a system call of ours, so each
// Flush with something queued makes one; receiving needs none. In zero-copy
// mode the driver says in a ring's flags when it sleeps (XDP_USE_NEED_WAKEUP),
// and only then it is called. Calls never block and are raw: the scheduler is
// not told, because a hand-over of the thread costs more than the call; the
// transmit budget bounds how long it can delay the garbage collector.
//
// # What sendto answers
//
// From __xsk_generic_xmit in net/xdp/xsk.c; none is fatal to the process.
//
//	0            copy mode: all was sent; zero-copy: the driver is awake
//	EAGAIN       budget used up, or completion ring, socket buffer or driver
//	             full: repeat while frames move, else later
//	EBUSY        the driver dropped a frame, which completes: counted, go on
//	ENOBUFS      out of memory for now: later
//	ENETDOWN     link administratively down: wait until there is new traffic
//	ENXIO        the interface is gone: ErrPortGone
//	EINTR        repeat
//	any other    the driver refuses the frame: counted, wait for new traffic
//
// # Limits
//
// Frames of several fragments (XDP_USE_SG) are not supported: an interface's MTU
// is at most [MaxMTU]. Linux 5.4 or later; preferred busy polling needs 5.11,
// and does nothing on drivers that don't tell the kernel which NAPI instance
// serves a queue (veth among them).
package xsk

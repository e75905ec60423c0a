package node

import (
	"cmp"
	"fmt"

	"appliance/engine/xsk"
	"appliance/internal/netstate"
	"appliance/vserver"
)

// maxFrameSize is the largest frame that AF_XDP takes, in bytes: a page.
const maxFrameSize = 4096

// vethMTU is the largest MTU at which a veth has native XDP: a page of 4096 bytes
// less the headroom, the skb's tail and an Ethernet header (veth_xdp_set in
// drivers/net/veth.c).
const vethMTU = 3506

// frameSize returns the smallest frame that holds packets of an interface.
func frameSize(l netstate.Link) (int, error) {
	for _, size := range []int{2048, maxFrameSize} {
		if l.MTU <= xsk.MaxMTU(size) {
			return size, nil
		}
	}
	return 0, tooLarge(l, maxFrameSize)
}

// tooLarge returns the error of an interface whose MTU is more than a frame holds,
// and which MTU to set: one that the driver can serve well.
func tooLarge(l netstate.Link, frame int) error {
	holds := xsk.MaxMTU(frame)
	set := holds
	if l.Kind == "veth" {
		set = min(set, vethMTU)
	}
	or := ""
	if frame < maxFrameSize && l.MTU <= xsk.MaxMTU(maxFrameSize) {
		or = fmt.Sprintf(", or restart with frame_size = %d", maxFrameSize)
	}
	return fmt.Errorf("interface %s: MTU %d is more than the %d bytes that a frame holds: ip link set dev %s mtu %d%s",
		l.Name, l.MTU, holds, l.Name, set, or)
}

// frameCount returns how many frames let every ring be full at once, so that no
// port ever starves another. Each engine has the same share of them, so each
// gets what the one with the most sockets needs: what those may hold, a batch in
// its hands and another on its free stack, its hand-offs in both directions, and
// the fragments that wait for their first one.
func frameCount(sockets, perSocket, engines, batch, handoff int) int {
	return engines * (sockets*perSocket + 2*batch + (engines-1)*2*handoff + vserver.MaxHeld)
}

// heldCount returns how many fragments each engine may hold: at most an eighth of
// its frames, when these were configured to be few.
func heldCount(frames, engines int) int { return max(1, min(vserver.MaxHeld, frames/engines/8)) }

// perEngine returns how many of an interface's queues the engine with the most
// of them serves.
func perEngine(queues, engines int) int { return (queues + engines - 1) / engines }

// leastFill is the smallest fill ring: below it a batch finds it empty.
const leastFill = 64

// fill returns how many frames each socket of an interface with that many
// queues posts to receive into: two for each slot of its rx ring, unless the
// packet memory is short, because it was configured so or laid out for fewer
// queues. Then all sockets get less: posted frames come back only with packets,
// so whoever took more would leave the others without any.
func (n *Node) fill(i *iface, queues int) (int, error) {
	engines := n.cfg.Engine.Engines
	room := n.arena.Frames()/engines - 2*n.cfg.Engine.Batch - heldCount(n.arena.Frames(), engines)
	sockets := perEngine(queues, engines)
	for _, other := range n.ifaces {
		switch {
		case other == i:
		case other.serving != nil:
			room -= other.serving.fill * perEngine(len(other.serving.ports), engines)
		default:
			sockets += perEngine(other.link.RxQueues, engines)
		}
	}
	fill := n.fullFill()
	for fill >= leastFill && fill*sockets > room {
		fill /= 2
	}
	if fill < leastFill {
		return 0, fmt.Errorf("interface %s: %d frames of packet memory are too few for its %d queues: set frames = 0 (or higher) and restart, or ethtool -L %s combined %d",
			i.Name, n.arena.Frames(), queues, i.Name, engines)
	}
	return fill, nil
}

// fullFill is what each socket posts when memory is not short.
func (n *Node) fullFill() int { return 2 * cmp.Or(n.cfg.RxRing, xsk.DefaultRing) }

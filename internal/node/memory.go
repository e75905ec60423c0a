package node

import (
	"cmp"
	"fmt"

	"appliance/engine/xsk"
)

// frameSize returns the smallest frame that holds packets of an interface whose
// MTU is mtu bytes.
func frameSize(iface string, mtu int) (int, error) {
	for _, size := range []int{2048, 4096} {
		if mtu <= xsk.MaxMTU(size) {
			return size, nil
		}
	}
	return 0, fmt.Errorf("interface %s: MTU %d is more than the %d bytes that a frame holds: ip link set dev %s mtu %d",
		iface, mtu, xsk.MaxMTU(4096), iface, xsk.MaxMTU(4096))
}

// frameCount returns how many frames let every ring be full at once, so that no
// port ever starves another. Each engine has the same share of them, so each
// gets what the one with the most sockets needs: what those may hold, a batch in
// its hands and another on its free stack, and its hand-offs in both directions.
func frameCount(sockets, perSocket, engines, batch, handoff int) int {
	return engines * (sockets*perSocket + 2*batch + (engines-1)*2*handoff)
}

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
	room := n.arena.Frames()/engines - 2*n.cfg.Engine.Batch
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

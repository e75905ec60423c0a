package node

import (
	"context"
	"slices"
	"time"

	"appliance/engine"
	"appliance/internal/netstate"
)

// retryEvery is how often interfaces are looked at that announced nothing: those
// that failed, and those whose ports may have died.
const retryEvery = time.Second

// links keeps the interfaces in line with the kernel's links. It is a goroutine
// of its own because opening and closing sockets takes long, up to a second a
// queue that somebody else holds, and no backend's failure may wait for that.
func (n *Node) links(ctx context.Context) {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.relink:
		case <-retry.C:
		}
		dead := n.deadPorts(ctx)
		links := n.host.Current().Links
		for number, i := range n.ifaces {
			n.fit(ctx, i, links[number], dead)
		}
	}
}

// deadPorts returns the ports that move nothing any more. Those of an interface
// that was away and came back in between two looks are all that tells: its index
// and queues are the old ones.
func (n *Node) deadPorts(ctx context.Context) []engine.Port {
	var dead []engine.Port
	for _, e := range n.group.Engines() {
		if gone, err := e.Gone(ctx); err == nil {
			dead = append(dead, gone...)
		}
	}
	return dead
}

// fit brings one interface in line with its link.
func (n *Node) fit(ctx context.Context, i *iface, link netstate.Link, dead []engine.Port) {
	if s := i.serving; s != nil {
		same := link.Exists && link.Index == i.link.Index && link.RxQueues == i.link.RxQueues
		works := !slices.ContainsFunc(s.ports, func(p queuePort) bool { return slices.Contains(dead, p.Port) })
		if same && works {
			n.followLink(i, link)
			return
		}
		i.log.Warn("interface changed, its ports are closed", "exists", link.Exists, "queues", link.RxQueues)
		was := i.link.Index
		n.note(i, link, nil, nil)
		var err error
		if i.guard, err = s.retire(ctx, was); err != nil {
			i.log.Warn("interface not closed cleanly", "error", err)
		}
	}
	if !link.Exists {
		n.note(i, link, nil, nil)
		if err := i.drop(); err != nil {
			i.log.Warn("guard not taken off cleanly", "error", err)
		}
		return
	}
	s, err := n.open(ctx, i, link)
	if err != nil && i.guard == nil {
		i.guard = n.newGuard(link)
	}
	if err != nil && (i.err == nil || i.err.Error() != err.Error()) {
		i.log.Error("interface can't be served, trying again", "error", err)
	}
	n.note(i, link, s, err)
}

// followLink notes changes of a link that its ports survive.
func (n *Node) followLink(i *iface, link netstate.Link) {
	if link.Up != i.link.Up {
		i.log.Warn("link changed", "up", link.Up)
	}
	if link.MTU != i.link.MTU {
		i.log.Warn("MTU changed", "from", i.link.MTU, "to", link.MTU)
	}
	err := n.fits(i, link) // packets that fit go on; what doesn't is lost until this is mended
	if err != nil && i.err == nil {
		i.log.Error("interface can't be served well any more", "error", err)
	}
	n.note(i, link, i.serving, err)
}

package netstate

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// parts is a set of the parts of a view.
type parts uint8

const (
	linkPart parts = 1 << iota
	addrPart
	routePart
	neighbourPart

	allParts = linkPart | addrPart | routePart | neighbourPart
)

// An event is what one message says: which parts of the view to load again, or
// what became of one neighbour.
type event struct {
	reload    parts
	neighbour *netlink.Neigh // nil: not about a neighbour
	gone      bool           // the neighbour was deleted
}

// receive sends events until ctx ends, whose end also closes the socket. No
// error ends it: the Watcher must go on keeping SNIPs alive. While the socket
// fails, everything is loaded again once a second.
func (k *kernel) receive(ctx context.Context, events chan<- event, log *slog.Logger) {
	for {
		messages, from, err := k.events.Receive()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS): // messages were lost
			messages = nil
			send(ctx, events, event{reload: allParts})
		case err != nil:
			messages = nil
			log.Error("changes of the network are noticed a second late", "error", err)
			send(ctx, events, event{reload: allParts})
			pause(ctx, tickTime)
		case from.Pid != nl.PidKernel:
			continue // any process may send to us; only the kernel is believed
		}
		for _, m := range messages {
			if e, ok := decode(m); ok {
				send(ctx, events, e)
			}
		}
	}
}

func send(ctx context.Context, events chan<- event, e event) {
	select {
	case events <- e:
	case <-ctx.Done():
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// decode says what a message means; ok is false when it means nothing to us.
func decode(m syscall.NetlinkMessage) (e event, ok bool) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		// A link that goes down takes IPv4 routes along without a message
		// (fib_disable_ip, net/ipv4/fib_frontend.c).
		return event{reload: linkPart | routePart}, true
	case unix.RTM_NEWADDR:
		return event{reload: addrPart}, true
	case unix.RTM_DELADDR:
		// So does an address, those that prefer it as source.
		return event{reload: addrPart | routePart}, true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if len(m.Data) < unix.SizeofRtMsg || nl.DeserializeRtMsg(m.Data).Table != unix.RT_TABLE_MAIN {
			return event{}, false
		}
		return event{reload: routePart}, true
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		return event{reload: routePart}, true
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return decodeNeighbour(m)
	}
	return event{}, false
}

func decodeNeighbour(m syscall.NetlinkMessage) (e event, ok bool) {
	if len(m.Data) < unix.SizeofNdMsg {
		return event{}, false
	}
	n, err := netlink.NeighDeserialize(m.Data)
	if err != nil {
		return event{reload: neighbourPart}, true
	}
	if n.Family != unix.AF_INET && n.Family != unix.AF_INET6 || n.Flags&netlink.NTF_PROXY != 0 {
		return event{}, false // a bridge's forwarding database, or addresses answered for
	}
	return event{neighbour: n, gone: m.Header.Type == unix.RTM_DELNEIGH}, true
}

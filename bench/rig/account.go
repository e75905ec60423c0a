package rig

import (
	"errors"
	"fmt"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
)

// An Account says where the generator's frames went. Each field counts frames
// in one place, in the order in which a frame passes them.
type Account struct {
	Sent      uint64 // handed to the kernel by the generator
	Overrun   uint64 // lost at cli0: its receive ring (256 frames) was full
	RxDropped uint64 // lost at cli0: the AF_XDP socket, the XDP program or the kernel's backlog
	Inside    uint64 // dropped by what is measured, as it says itself
	TxDropped uint64 // lost at srv0: sink0's receive ring was full
	Received  uint64 // counted by the sink
}

// Missing returns how many frames no place admits to. It is zero when the
// account closes, negative when more arrived than were sent.
func (a Account) Missing() int64 {
	return int64(a.Sent) - int64(a.Overrun+a.RxDropped+a.Inside+a.TxDropped+a.Received)
}

// Minus returns what a counts more than before.
func (a Account) Minus(before Account) Account {
	return Account{
		Sent:      a.Sent - before.Sent,
		Overrun:   a.Overrun - before.Overrun,
		RxDropped: a.RxDropped - before.RxDropped,
		Inside:    a.Inside - before.Inside,
		TxDropped: a.TxDropped - before.TxDropped,
		Received:  a.Received - before.Received,
	}
}

// Wires fills in what the interfaces count. veth counts in four ways, and some
// frames twice (drivers/net/veth.c): what the peer could not put into cli0's
// ring is also in cli0's rx_dropped, and what an XDP program drops is in none of
// the interface's standard counters.
func (r *Rig) Wires(a *Account) error {
	return errors.Join(
		r.Client.Do(func() error {
			queue, _, err := counters(GenIf)
			if err != nil {
				return err
			}
			a.Overrun = queue["tx_queue_0_xdp_xmit_errors"]
			return nil
		}),
		r.Node.Do(func() error {
			queue, link, err := counters(CliIf)
			if err != nil {
				return err
			}
			a.RxDropped = link.RxDropped - a.Overrun + queue["rx_queue_0_xdp_drops"]
			if _, link, err = counters(SrvIf); err != nil {
				return err
			}
			a.TxDropped = link.TxDropped
			return nil
		}),
	)
}

// counters reads an interface's queue counters and its standard ones.
func counters(name string) (map[string]uint64, *netlink.LinkStatistics, error) {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return nil, nil, fmt.Errorf("rig: read the counters of %s: %w", name, err)
	}
	defer e.Close()
	queue, err := e.Stats(name)
	if err != nil {
		return nil, nil, fmt.Errorf("rig: read the counters of %s: %w", name, err)
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil, nil, fmt.Errorf("rig: read the counters of %s: %w", name, err)
	}
	return queue, l.Attrs().Statistics, nil
}

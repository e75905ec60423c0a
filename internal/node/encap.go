package node

import (
	"fmt"
	"net/netip"
	"slices"

	"appliance/vserver"
)

// dedicated refuses encapsulation sources that addresses of the node's kernel
// are among: to routers and backends, packets would come from the node itself.
func (s *Services) dedicated(addrs []netip.Prefix) error {
	for _, source := range s.Services.Encap.Sources {
		for _, own := range addrs {
			if source.Contains(own.Addr()) {
				return fmt.Errorf("encap.sources: %s holds %s, an address of this node: give a prefix of addresses that nobody has", source, own.Addr())
			}
		}
	}
	return nil
}

// noteNarrow logs the backends whose paths are too narrow for their mode, those
// that it hasn't named before. The caller holds changing, or is alone.
func (n *Node) noteNarrow(narrow []vserver.Narrow) {
	for _, b := range narrow {
		if !slices.Contains(n.narrow, b) {
			n.log.Warn("the path to a backend is too narrow for the mode: clients can't send packets that small; raise the MTU toward it",
				"vserver", b.Service, "backend", b.Backend, "mtu", b.MTU, "needed", b.Least)
		}
	}
	n.narrow = narrow
}

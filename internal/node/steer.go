package node

import (
	"fmt"

	"appliance/internal/netstate"
	"appliance/internal/nic"
)

// HardwareRSS says whether network cards are programmed to deliver packets to
// the engines that own them.
type HardwareRSS string

// The choices.
const (
	HardwareRSSAuto    HardwareRSS = "auto" // as far as they can
	HardwareRSSOff     HardwareRSS = "off"
	HardwareRSSRequire HardwareRSS = "require" // or the interface is not served
)

// steer programs the card of an interface whose ports are open. That comes last:
// drivers may set a card up anew when a program or a socket is attached.
func (n *Node) steer(i *iface, s *serving, link netstate.Link) error {
	switch {
	case n.cfg.HardwareRSS == HardwareRSSOff:
		s.rss = nic.InSoftware("off, as configured")
		return nil
	case n.cfg.Engine.Engines == 1:
		s.rss = nic.InSoftware("the only engine owns every packet")
		return nil
	}
	s.rss = nic.Program(nic.Config{
		Interface: i.Name, Index: link.Index, Key: n.cfg.Key, Cores: n.cores, Engines: s.owners(),
	})
	if n.cfg.HardwareRSS == HardwareRSSRequire && s.rss.State != nic.Hardware {
		return fmt.Errorf("interface %s can't be made to deliver packets to their engines: %s: set hardware = \"auto\" in [rss], and the engines will do it",
			i.Name, s.rss.Why)
	}
	return nil
}

// owners returns the engine of each queue.
func (s *serving) owners() []int {
	engines := make([]int, len(s.ports))
	for _, p := range s.ports {
		engines[p.queue] = p.engine.ID()
	}
	return engines
}

// unsteer puts the card's settings back.
func (s *serving) unsteer() error {
	if s.rss == nil {
		return nil
	}
	return s.rss.Restore()
}

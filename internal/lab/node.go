package lab

import (
	"fmt"
	"net/netip"
	"sync"

	"appliance/internal/lab/origin"
)

// A Node is a host for an appliance. Its links are there from the beginning;
// Start starts the appliance.
type Node struct {
	*Namespace
	ID         int   // 1..64, the number in its host name
	ClientAddr Addrs // of its kernel on the client plane; the VIPs' next hop
	ServerAddr Addrs // of its kernel on the server plane; health checks come from here
	SNIP       Addrs // for the appliance to use toward backends; on no interface

	Sources []netip.Prefix // for the appliance to use around tunnelled packets; the router sends them to ClientAddr

	lab *Lab

	mu      sync.Mutex // guards process
	process *Process   // the last one started, perhaps ended
}

// Detach removes one of the node's interfaces, ClientPlane or ServerPlane, as
// pulling a card does: with its addresses and routes.
func (n *Node) Detach(plane string) error { return n.removeLink(plane) }

// Attach brings back an interface that Detach removed: the same card, with its
// addresses and routes, but a new interface index.
func (n *Node) Attach(plane string) error {
	if err := n.lab.attach(n, plane); err != nil {
		return err
	}
	return n.lab.routeVIPs()
}

// Raise sets an interface up again that SetLink has set down, and gives it back
// what the kernel took away with it: IPv6 addresses, and routes through gateways.
func (n *Node) Raise(plane string) error {
	if err := n.lab.raise(n, plane); err != nil {
		return err
	}
	return n.lab.routeVIPs()
}

// abandon kills the appliance if it still runs.
func (n *Node) abandon() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return nil
	}
	return n.process.Kill()
}

// A Service is a virtual server in front of every backend of the lab.
type Service struct {
	Name        string
	VIP         netip.Addr
	Port        int
	Protocol    string // tcp or udp
	Mode        string // nat, dsr, ipip or gue
	Method      string // maglev or roundrobin
	BackendPort int    // but in nat the same as Port
	Crossed     bool   // ipip, gue: backends by their addresses of the other family
	Weights     []int  // by backend; those beyond its end have weight 1
	Health      string // lines of the table [vserver.health]; without any there is no check
}

// Health checks of services. A backend whose servers stop is down one to one and
// a half seconds later. Three misses of half a second each are more than a busy
// machine delays an answer; with two of 100 ms it did take healthy backends out.
const (
	HealthTCP  = "type = \"tcp\"\n" + healthTimes
	HealthHTTP = "type = \"http\"\npath = \"/health\"\n" + healthTimes

	healthTimes = "interval = \"500ms\"\ntimeout = \"500ms\"\nrise = 1\nfall = 3"
)

// Services returns a virtual server for each service that backends have (see
// package origin) on each address of the first VIP.
func (l *Lab) Services(mode, method string) []Service {
	var all []Service
	for _, vip := range l.VIPs[0].All() {
		family := 4
		if vip.Is6() {
			family = 6
		}
		for _, s := range []Service{
			{Name: "http", Port: origin.HTTPPort, Protocol: "tcp", Health: HealthHTTP},
			{Name: "echo", Port: origin.EchoPort, Protocol: "tcp", Health: HealthTCP},
			{Name: "stream", Port: origin.StreamPort, Protocol: "tcp", Health: HealthTCP},
			{Name: "udp", Port: origin.EchoPort, Protocol: "udp", Health: HealthTCP},
		} {
			s.Name = fmt.Sprintf("%s%d", s.Name, family)
			s.VIP, s.Mode, s.Method, s.BackendPort = vip, mode, method, s.Port
			all = append(all, s)
		}
	}
	return all
}

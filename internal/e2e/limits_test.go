package e2e

import (
	"net"
	"net/netip"
	"testing"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// A client over its limit of new flows gets no more of them, and another is
// served as before; so is what the client has open.
func TestLimitBySource(t *testing.T) {
	const tries = 200
	for _, mode := range []string{"nat", "dsr"} {
		t.Run(mode, func(t *testing.T) {
			l := buildLab(t, lab.Config{Clients: 2, IPv6: true})
			p := start(t, l, lab.NodeOptions{
				Services: l.Services(mode, "maglev"),
				Extra:    "[limits]\nnew_flows_per_source = 5\n",
			})
			greedy, modest := l.Clients[0], l.Clients[1]
			for _, vip := range l.VIPs[0].All() {
				open := newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort))
				before := status(t, p).Totals.Dropped["source_limit"]
				for range tries {
					c := from(t, greedy, "udp", vip, origin.EchoPort)
					if _, err := c.Write([]byte("greedy")); err != nil {
						t.Fatal(err)
					}
				}
				// More than the limit gets in if sending takes longer than a moment.
				eventually(t, "most of the flows are over the limit", func() bool {
					return status(t, p).Totals.Dropped["source_limit"]-before >= tries/2
				})
				if _, err := ask(from(t, modest, "udp", vip, origin.EchoPort), "modest"); err != nil {
					t.Errorf("the other client: %v", err)
				}
				open.exchange()
				eventually(t, "the first client is served again", func() bool {
					name, err := ask(from(t, greedy, "udp", vip, origin.EchoPort), "greedy")
					return err == nil && name != ""
				})
			}
			accounted(t, status(t, p))
		})
	}
}

// from opens a connection of one of the clients, which the test closes.
func from(t *testing.T, c *lab.Client, network string, vip netip.Addr, port uint16) net.Conn {
	t.Helper()
	conn, err := c.DialContext(t.Context(), network, netip.AddrPortFrom(vip, port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

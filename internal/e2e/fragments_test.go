package e2e

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	pt "appliance/engine/packet/packettest"
	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// Datagrams of all sizes reach the backend that their flow's small ones reach,
// and come back: in fragments that the kernels of client and backend make, which
// one engine meets first and another may own.
func TestFragments(t *testing.T) {
	for _, mode := range []string{"nat", "dsr"} {
		t.Run(mode, func(t *testing.T) {
			l := buildLab(t, lab.Config{Backends: 3, Queues: 2, IPv6: true})
			p := start(t, l, lab.NodeOptions{
				Services: l.Services(mode, "roundrobin"),
				Engine:   map[string]string{"engines": "2", "flow_capacity": "4096"},
			})
			for _, vip := range l.VIPs[0].All() {
				for range 4 {
					c := dial(t, l, "udp", vip, origin.EchoPort)
					backend, err := ask(c, "who?")
					if err != nil {
						t.Fatal(err)
					}
					// The last one makes the answer, which begins with "b1 ", 65,535 bytes of IPv4.
					for _, size := range []int{100, 1452, 1453, 1472, 1473, 2960, 9000, 30_000, 60_000, 65_504} {
						if name, err := ask(c, strings.Repeat("x", size)); err != nil || name != backend {
							t.Errorf("%d bytes to %s: %q answered (%v), small ones %q", size, vip, name, err, backend)
						}
					}
				}
			}
			s := status(t, p)
			accounted(t, s)
			var handed uint64
			for _, e := range s.Engines {
				handed += e.HandedOff
			}
			if handed == 0 || s.Frames.Held != 0 || unexplained(s) != 0 {
				t.Errorf("%d packets handed off, frames %+v, dropped %v", handed, s.Frames, s.Totals.Dropped)
			}
		})
	}
}

// reply reads a datagram that was sent through the appliance and back, and
// reports whether one came before the deadline.
func reply(t *testing.T, c net.Conn, within time.Duration) (string, bool) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	return string(buf[:n]), err == nil
}

// Fragments in every order that a network may give them, and some that it won't.
func TestDisorderlyFragments(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 2, Queues: 2, IPv6: true})
	v := newTarget(t, l, lab.NodeOptions{
		Services: l.Services("nat", "roundrobin"),
		Engine:   map[string]string{"engines": "2", "flow_capacity": "4096"},
	})
	id := uint32(0)
	for _, vip := range l.VIPs[0].All() {
		c := dial(t, l, "udp", vip, origin.EchoPort)
		name, err := ask(c, "who?")
		if err != nil {
			t.Fatal(err)
		}
		local, remote := c.LocalAddr().String(), c.RemoteAddr().String()
		cut := func(src, dst, payload string, at ...int) [][]byte {
			id++
			return pt.Cut(pt.UDP(src, dst, pt.Payload([]byte(payload))), id, at...)
		}
		text := strings.Repeat("question ", 300)
		for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 2, 1, 0, 3, 0}} {
			pieces := cut(local, remote, text, 8, 800, 1600)
			v.send(t, lab.ClientPlane, pick(pieces, order))
			if got, ok := reply(t, c, patience); !ok || got != name+" "+text {
				t.Errorf("%s, order %v: %d bytes came back", vip, order, len(got))
			}
		}
		v.answers(t, c, name, cut)

		before := status(t, v.process).Totals.Dropped
		pieces := cut(local, remote, text, 800, 1600)
		v.send(t, lab.ClientPlane, pieces[1:])
		pieces = cut(local, remote, text, 800, 1600)
		id-- // the same datagram, cut otherwise
		other := cut(local, remote, text, 1304)
		v.send(t, lab.ClientPlane, [][]byte{pieces[1], other[1], pieces[0], pieces[2]})
		eventually(t, "all pieces are dropped", func() bool {
			d := status(t, v.process).Totals.Dropped
			return d["fragment_orphan"]-before["fragment_orphan"] == 2 && d["fragment_overlap"]-before["fragment_overlap"] == 4
		})
		if got, ok := reply(t, c, 100*time.Millisecond); ok {
			t.Errorf("%s: %d bytes came back, of which not all or too many were sent", vip, len(got))
		}
	}
	v.unharmed(t, "fragments")
}

// pick returns pieces in an order.
func pick(pieces [][]byte, order []int) (picked [][]byte) {
	for _, i := range order {
		picked = append(picked, slices.Clone(pieces[i]))
	}
	return picked
}

// answers has the backend that a flow goes to send the client fragments.
func (v *target) answers(t *testing.T, c net.Conn, name string, cut func(src, dst, payload string, at ...int) [][]byte) {
	t.Helper()
	w, err := v.process.Where(t.Context(), "udp", c.LocalAddr().String(), c.RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	source := w.Source
	backend := v.backend(t, name, netip.MustParseAddrPort(c.LocalAddr().String()).Addr().Is6())
	text := strings.Repeat("answer ", 300)
	for _, order := range [][]int{{2, 1, 0}, {1, 1, 0, 2}} {
		v.send(t, lab.ServerPlane, pick(cut(backend, source.String(), text, 16, 1024), order))
		if got, ok := reply(t, c, patience); !ok || got != text {
			t.Errorf("%s to %s, order %v: %d bytes came", backend, source, order, len(got))
		}
	}
}

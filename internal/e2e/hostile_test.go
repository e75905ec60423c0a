package e2e

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/node"
)

// What becomes of a hostile frame that the appliance doesn't drop.
const (
	toKernel  = "left to the kernel" // by the XDP program
	forwarded = "forwarded"          // to the other plane
	lost      = "lost in the kernel" // in front of the AF_XDP socket
	deniedAt  = "denied"             // by the XDP program
	ponged    = "answered: ping"
)

// answered is what becomes of a frame that draws a reset or an ICMP error for
// the reason why.
func answered(why string) string { return "answered: " + why }

// A hostile case is a frame that no honest host sends, and what must become of
// it: one of the above, or the name of a drop reason.
type hostile struct {
	name  string
	plane string // where it arrives; the client plane if empty
	frame []byte
	want  string
}

// A target is a running node in a lab with IPv6, with honest connections
// through it and injectors beside it.
type target struct {
	lab     *lab.Lab
	process *lab.Process
	planes  map[string]*injector
	honest  []*pingpong
}

// The networks that hostile packets claim to be from. The router swallows what
// is sent there.
const (
	hostileNet4, hostileNet6 = "198.18.0.0/15", "2001:db8:bad::/48"
	hostile4, hostile6       = "198.18.0.1", "2001:db8:bad::1"
)

func newTarget(t *testing.T, l *lab.Lab, opts lab.NodeOptions) *target {
	t.Helper()
	for _, net := range []string{hostileNet4, hostileNet6} {
		if _, err := l.Router.Output(t.Context(), "ip", "route", "replace", "blackhole", net); err != nil {
			t.Fatal(err)
		}
	}
	v := &target{lab: l, process: start(t, l, opts), planes: map[string]*injector{}}
	node := l.Nodes[0].Host() // the name of the far ends of its links, too
	for _, i := range status(t, v.process).Interfaces {
		beside := l.Router
		if i.Name == lab.ServerPlane {
			beside = l.Fabric // behind the bridge, which might have opinions of its own
		}
		v.planes[i.Name] = inject(t, beside, node, i.MAC)
	}
	for _, vip := range l.VIPs[0].All() {
		v.honest = append(v.honest, newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort)))
	}
	return v
}

// vip4 and its siblings write an address with a port, or alone if port is 0.
func (v *target) vip4(port int) string  { return at(v.lab.VIPs[0].V4, port) }
func (v *target) vip6(port int) string  { return at(v.lab.VIPs[0].V6, port) }
func (v *target) snip4(port int) string { return at(v.lab.Nodes[0].SNIP.V4, port) }
func (v *target) snip6(port int) string { return at(v.lab.Nodes[0].SNIP.V6, port) }

func at(a netip.Addr, port int) string {
	if port == 0 {
		return a.String()
	}
	return netip.AddrPortFrom(a, uint16(port)).String()
}

// copies is how often each case's frame is sent: more than the segments that
// honest connections may have under way.
const copies = 5

// hit sends every case's frames and says what they did otherwise than they
// must.
func (v *target) hit(t *testing.T, cases []hostile) {
	t.Helper()
	for _, c := range cases {
		v.strike(t, c.name, c.plane, slices.Repeat([][]byte{c.frame}, copies), c.want)
	}
}

// strike sends frames to a plane. The counter of what must become of them moves
// by exactly their number, or by more if honest packets move it, too. No other
// counter moves of what honest packets don't meet, and the node and its honest
// connections don't notice.
func (v *target) strike(t *testing.T, name, plane string, frames [][]byte, want string) {
	t.Helper()
	if plane == "" {
		plane = lab.ClientPlane
	}
	before := counters(status(t, v.process), plane)
	v.send(t, plane, frames)
	var moved map[string]uint64
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		moved = moves(before, counters(status(t, v.process), plane))
		if moved[want] >= uint64(len(frames)) {
			break
		}
	}
	honest := []string{toKernel, forwarded}
	ok := moved[want] == uint64(len(frames)) || moved[want] > uint64(len(frames)) && slices.Contains(honest, want)
	for what := range moved {
		ok = ok && (what == want || slices.Contains(honest, what))
	}
	if !ok {
		t.Errorf("%s: %d frames, all %s; counted: %v", name, len(frames), want, moved)
	}
	v.unharmed(t, name)
}

// send puts frames onto a plane, no faster than the node's link takes them.
func (v *target) send(t *testing.T, plane string, frames [][]byte) {
	t.Helper()
	filtered := func() uint64 {
		for _, i := range status(t, v.process).Interfaces {
			if i.Name == plane {
				return i.Filter.Passed + i.Filter.Redirected + i.Filter.NoSocket + i.Filter.Denied
			}
		}
		t.Fatalf("status knows no interface %s", plane)
		return 0
	}
	sent := filtered()
	for some := range slices.Chunk(frames, 64) { // of the 256 that a veth queues
		v.planes[plane].send(t, some...)
		sent += uint64(len(some))
		eventually(t, "the frames have reached the node", func() bool { return filtered() >= sent })
	}
}

// counters are what a frame can move, by the words that cases use.
func counters(s node.Status, plane string) map[string]uint64 {
	c := maps.Clone(s.Totals.Dropped)
	for why, n := range s.Totals.Answered {
		c[answered(why)] = n
	}
	for _, e := range s.Engines {
		c[ponged] += e.Pings
	}
	for _, i := range s.Interfaces {
		there := i.Name == plane
		for _, p := range i.Ports {
			if there {
				c[lost] += p.RxDropped
			} else {
				c[forwarded] += p.TxPackets
			}
		}
		if there {
			c[toKernel], c[deniedAt] = i.Filter.Passed, i.Filter.Denied
		}
	}
	return c
}

func moves(before, after map[string]uint64) map[string]uint64 {
	moved := map[string]uint64{}
	for name, n := range after {
		if n != before[name] {
			moved[name] = n - before[name]
		}
	}
	return moved
}

// unharmed ends the test unless the node is the same process, its frames add
// up, and its honest connections work.
func (v *target) unharmed(t *testing.T, after string) {
	t.Helper()
	s := status(t, v.process)
	if s.PID != v.process.PID() {
		t.Fatalf("%s: another process answers", after)
	}
	accounted(t, s)
	for _, c := range v.honest {
		if err := c.try(patience); err != nil {
			t.Fatalf("%s: an honest connection broke: %v", after, err)
		}
	}
}

var resident = regexp.MustCompile(`VmRSS:\s*(\d+) kB`)

// memory returns the node's resident memory in MiB.
func (v *target) memory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.process.PID()))
	if err != nil {
		t.Fatal(err)
	}
	kib, err := strconv.Atoi(string(resident.FindSubmatch(text)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}

// steady fails the test if the node's resident memory has grown by more than a
// garbage collector's slack since it was before MiB.
func (v *target) steady(t *testing.T, before int) {
	t.Helper()
	if after := v.memory(t); after > before+16 {
		t.Errorf("the node's memory has grown from %d to %d MiB", before, after)
	}
}

// small is a flow table that leaves a node's memory to what may grow.
var small = map[string]string{"flow_capacity": "4096"}

// Every header that no honest host sends, on either plane: each frame is
// counted under its reason and dropped, or left to the kernel if it isn't for
// the appliance.
func TestHostileFrames(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	v := newTarget(t, l, lab.NodeOptions{Engine: small})
	before := v.memory(t)
	for _, group := range []struct {
		name  string
		cases []hostile
	}{
		{"cut short", v.cutShort()},
		{"IPv4 lengths", v.lengths4()},
		{"IPv6 lengths", v.lengths6()},
		{"transport lengths", v.transportLengths()},
		{"checksums", v.ipChecksums()},
		{"flags and ports", v.flagsAndPorts()},
		{"sources", v.sources()},
		{"source routes", v.sourceRoutes()},
		{"extension headers", v.extensionHeaders()},
		{"protocols", v.protocols()},
		{"time to live", v.timeToLive()},
		{"tags", v.tags()},
		{"fragments", v.fragments()},
		{"ICMP", v.icmp()},
		{"ICMPv6", v.icmp6()},
		{"forged ICMP errors", v.forgedErrors()},
		{"no flow", v.strays()},
	} {
		t.Run(group.name, func(t *testing.T) { v.hit(t, group.cases) })
	}
	works(t, l)
	v.steady(t, before)
}

// With every checksum verified, damage anywhere in a packet is counted and
// dropped; without, it travels on and the receiver finds it.
func TestHostileChecksums(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	for _, c := range []struct{ verify, want string }{
		{"all", "bad_l4_checksum"},
		{"l3", forwarded},
	} {
		t.Run(c.verify, func(t *testing.T) {
			v := newTarget(t, l, lab.NodeOptions{Engine: map[string]string{
				"flow_capacity": "4096", "verify_checksums": strconv.Quote(c.verify),
			}})
			v.hit(t, v.damaged(c.want))
		})
	}
}

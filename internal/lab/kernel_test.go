package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/lab/traffic"
	"appliance/internal/privtest"
)

// balanceByKernel makes a node's kernel do the appliance's job, full NAT by
// nftables, so that lab and traffic are tested without it: what fails here is
// not the appliance's fault.
func balanceByKernel(t *testing.T, l *lab.Lab, n *lab.Node) {
	t.Helper()
	for _, path := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := n.Sysctl(path, "1"); err != nil {
			t.Fatal(err)
		}
	}
	var rules strings.Builder
	for i, vip := range l.VIPs[0].All() {
		snip, family := n.SNIP.All()[i], "ip"
		if vip.Is6() {
			family = "ip6"
		}
		var backends []string
		for j, b := range l.Backends {
			backends = append(backends, fmt.Sprintf("%d : %s", j, b.Addr.All()[i]))
		}
		fmt.Fprintf(&rules, `table %[1]s balance {
			chain in {
				type nat hook prerouting priority dstnat
				%[1]s daddr %[2]s dnat to numgen inc mod %[3]d map { %[4]s }
			}
			chain out {
				type nat hook postrouting priority srcnat
				oifname %[5]q ct status dnat snat to %[6]s
			}
		}
		`, family, vip, len(backends), strings.Join(backends, ", "), lab.ServerPlane, snip)
		address := netip.PrefixFrom(snip, snip.BitLen()).String()
		if _, err := n.Output(t.Context(), "ip", "address", "add", address, "dev", lab.ServerPlane, "nodad"); err != nil {
			t.Fatal(err)
		}
	}
	nft := exec.CommandContext(t.Context(), "nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules.String())
	var out []byte
	err := n.In(func() (err error) {
		out, err = nft.CombinedOutput()
		return err
	})
	if err != nil {
		privtest.Unable(t, "balance by nftables: "+string(out), err)
	}
}

// TestTrafficThroughKernel drives everything that package traffic has through
// two nodes at once, over IPv4 and IPv6.
func TestTrafficThroughKernel(t *testing.T) {
	l := build(t, lab.Config{Nodes: 2, Backends: 3, Clients: 2, IPv6: true, Queues: 2})
	for _, n := range l.Nodes {
		balanceByKernel(t, l, n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var wait sync.WaitGroup
	reports := make(map[string]func() traffic.Report)
	drive := func(name string, run func(context.Context), report func() traffic.Report) {
		reports[name] = report
		wait.Go(func() { run(ctx) })
	}
	for _, c := range l.Clients {
		for _, vip := range l.VIPs[0].All() {
			at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(vip, port) }
			from := fmt.Sprintf("%s to %s ", c.Host(), vip)
			h := traffic.NewHTTP(traffic.HTTPConfig{Dial: c.DialContext, Target: at(origin.HTTPPort),
				FreshRate: 50, Kept: 6, KeptRate: 50, Size: 5000})
			drive(from+"http", h.Run, h.Report)
			s := traffic.NewStreams(traffic.StreamsConfig{Dial: c.DialContext, Target: at(origin.EchoPort),
				Streams: 3, Rate: 30, Chunk: 20_000})
			drive(from+"echo", s.Run, s.Report)
			d := traffic.NewStreams(traffic.StreamsConfig{Dial: c.DialContext, Target: at(origin.StreamPort),
				Streams: 3, Rate: 30, Chunk: 20_000, Download: true})
			drive(from+"stream", d.Run, d.Report)
			u := traffic.NewUDP(traffic.UDPConfig{Dial: c.DialContext, Target: at(origin.EchoPort),
				Flows: 3, Rate: 50, PerFlow: 5})
			drive(from+"udp", u.Run, u.Report)
		}
	}
	wait.Wait()
	var all traffic.Report
	for name, report := range reports {
		r := report()
		all.Merge(r)
		if r.OK < 30 || r.Failed() != 0 || r.Broken != 0 {
			t.Errorf("%s: %d right, failures %v, %d broken, want at least 30 and none", name, r.OK, r.Failures, r.Broken)
		}
	}
	for _, b := range l.Backends {
		if c := b.Counters(); all.Backends[b.Host()] < 200 || c.Connections < 100 || c.Requests+c.Datagrams < all.Backends[b.Host()] {
			t.Errorf("%s: clients saw %d answers, it counts %+v", b.Host(), all.Backends[b.Host()], c)
		}
	}
	for _, n := range l.Nodes { // the router used both
		for _, plane := range []string{lab.ClientPlane, lab.ServerPlane} {
			if p, err := n.Packets(plane); err != nil || p.Rx < 2000 {
				t.Errorf("%s of %s: %+v, %v, want thousands of packets", plane, n.Host(), p, err)
			}
		}
	}
}

// TestBackendStops: clients notice servers that end and servers that return.
func TestBackendStops(t *testing.T) {
	l := build(t, lab.Config{Backends: 1})
	balanceByKernel(t, l, l.Nodes[0])
	h := traffic.NewHTTP(traffic.HTTPConfig{
		Dial: l.Clients[0].DialContext, Target: netip.AddrPortFrom(l.VIPs[0].V4, origin.HTTPPort),
		FreshRate: 100, Kept: 5, KeptRate: 100,
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { h.Run(ctx) })
	eventually(t, "requests succeed", func() bool { return h.Report().OK > 20 })
	l.Backends[0].Stop()
	eventually(t, "requests fail", func() bool {
		r := h.Report()
		return r.Failures[traffic.ConnectRefused] > 20 && r.Broken >= 5
	})
	if err := l.Backends[0].Start(); err != nil {
		t.Fatal(err)
	}
	before := h.Report().OK
	eventually(t, "requests succeed again", func() bool { return h.Report().OK > before+20 })
	cancel()
	wait.Wait()
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

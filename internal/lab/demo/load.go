package demo

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/lab/traffic"
)

// The load, over all clients and VIPs together. The rates are far below what a
// node does: the demonstration shows that nothing is lost, not how fast it is.
const (
	freshRate  = 100 // HTTP requests a second on new connections
	keptRate   = 100 // and on kept-alive ones
	keptConns  = 20
	udpRate    = 50 // datagrams a second
	udpFlows   = 10
	udpPerFlow = 20   // datagrams, then another source port
	bodySize   = 8000 // bytes: six full-size packets

	// With Options.Fragments: datagrams a second, and their sizes in bytes.
	fragmentRate  = 20
	fragmentFlows = 10
	smallDatagram = 100
	largeDatagram = 60_000
)

// fragmentKind is the kind of load that Options.Fragments adds.
const fragmentKind = "udp, 100 to 60,000 bytes"

// A driver is one of traffic's drivers.
type driver interface {
	Run(context.Context)
	Report() traffic.Report
}

// A load is all drivers of one kind: one for each client and VIP.
type load struct {
	kind    string
	drivers []driver
}

// newLoads returns the kinds of load; datagrams in fragments are one if they are
// wanted. Failures are told to failed.
func newLoads(l *lab.Lab, fragments bool, failed func(kind string, f *traffic.Failure)) []load {
	fresh, kept, udp := load{kind: "http, new"}, load{kind: "http, kept-alive"}, load{kind: "udp"}
	large := load{kind: fragmentKind}
	vips := l.VIPs[0].All()
	sources := len(l.Clients) * len(vips)
	each := func(n int) int { return (n + sources - 1) / sources }
	rate := func(n float64) float64 { return n / float64(sources) }
	for _, c := range l.Clients {
		for _, vip := range vips {
			http := netip.AddrPortFrom(vip, origin.HTTPPort)
			echo := netip.AddrPortFrom(vip, origin.EchoPort)
			fresh.drivers = append(fresh.drivers, traffic.NewHTTP(traffic.HTTPConfig{
				Dial: c.DialContext, Target: http, FreshRate: rate(freshRate), Size: bodySize,
				Failed: func(f *traffic.Failure) { failed(fresh.kind, f) },
			}))
			kept.drivers = append(kept.drivers, traffic.NewHTTP(traffic.HTTPConfig{
				Dial: c.DialContext, Target: http, Kept: each(keptConns), KeptRate: rate(keptRate), Size: bodySize,
				Failed: func(f *traffic.Failure) { failed(kept.kind, f) },
			}))
			udp.drivers = append(udp.drivers, traffic.NewUDP(traffic.UDPConfig{
				Dial: c.DialContext, Target: echo, Flows: each(udpFlows), PerFlow: udpPerFlow, Rate: rate(udpRate),
				Failed: func(f *traffic.Failure) { failed(udp.kind, f) },
			}))
			large.drivers = append(large.drivers, traffic.NewUDP(traffic.UDPConfig{
				Dial: c.DialContext, Target: echo, Flows: each(fragmentFlows), PerFlow: udpPerFlow, Rate: rate(fragmentRate),
				Size: smallDatagram, MaxSize: largeDatagram,
				Failed: func(f *traffic.Failure) { failed(large.kind, f) },
			}))
		}
	}
	loads := []load{fresh, kept, udp}
	if fragments {
		loads = append(loads, large)
	}
	return loads
}

// drive runs every driver until ctx ends and each has finished.
func drive(ctx context.Context, loads []load) {
	var wait sync.WaitGroup
	for _, load := range loads {
		for _, d := range load.drivers {
			wait.Go(func() { d.Run(ctx) })
		}
	}
	wait.Wait()
}

// report adds up what the drivers of each kind have counted so far.
func report(loads []load) []loadReport {
	reports := make([]loadReport, len(loads))
	for i, load := range loads {
		reports[i].kind = load.kind
		for _, d := range load.drivers {
			reports[i].Merge(d.Report())
		}
	}
	return reports
}

// progressLine renders what the loads have counted so far in one line.
func progressLine(reports []loadReport) string {
	var line string
	var opened, broken uint64
	for _, r := range reports {
		line += fmt.Sprintf("%s: %d ok, %d failed   ", r.kind, r.OK, r.Failed())
		opened, broken = opened+r.Opened, broken+r.Broken
	}
	return line + fmt.Sprintf("connections: %d opened, %d broken", opened, broken)
}

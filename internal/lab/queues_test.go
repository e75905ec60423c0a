package lab_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/lab/traffic"
)

// TestQueuesShareTraffic: flows spread over all queues of both planes, as they
// do on a network card, so that several engines have work. Only the appliance
// counts packets by queue, so this takes a real one.
func TestQueuesShareTraffic(t *testing.T) {
	const queues = 4
	l := build(t, lab.Config{Queues: queues})
	binary, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Nodes[0].Start(t.Context(), lab.NodeOptions{Binary: binary})
	if err != nil {
		t.Fatal(err)
	}
	h := traffic.NewHTTP(traffic.HTTPConfig{Dial: l.Clients[0].DialContext, FreshRate: 200,
		Target: netip.AddrPortFrom(l.VIPs[0].V4, origin.HTTPPort)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	h.Run(ctx)
	status, err := p.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range status.Interfaces {
		var total uint64
		for _, port := range link.Ports {
			total += port.RxPackets
		}
		for _, port := range link.Ports {
			// 200 flows over 4 queues: 50 each, and 25 are four deviations away.
			if port.RxPackets < total/queues/2 {
				t.Errorf("queue %d of %s got %d of %d packets, want about a quarter", port.Queue, link.Name, port.RxPackets, total)
			}
		}
		if len(link.Ports) != queues || total < 500 {
			t.Errorf("%s: %d queues, %d packets, want %d and 500 or more", link.Name, len(link.Ports), total, queues)
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

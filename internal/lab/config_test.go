package lab

import (
	"net/netip"
	"strings"
	"testing"
)

func TestDefaults(t *testing.T) {
	got, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Nodes: 1, Backends: 2, Clients: 1, VIPs: 1, Queues: 1, MTU: 1500, Log: got.Log}
	if got != want || got.Log == nil {
		t.Errorf("defaults %+v, want %+v and a Log", got, want)
	}
}

func TestImpossible(t *testing.T) {
	for field, cfg := range map[string]Config{
		"nodes":    {Nodes: 65},
		"backends": {Backends: -1},
		"clients":  {Clients: 251},
		"vips":     {VIPs: 251},
		"queues":   {Queues: 65},
		"mtu":      {MTU: 1279},
	} {
		if _, err := cfg.withDefaults(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v, want an error about %s", cfg, err, field)
		}
	}
}

// TestPlan: no address is given out twice, however large the lab.
func TestPlan(t *testing.T) {
	p := plan{ipv6: true}
	owner := make(map[netip.Addr]string)
	claim := func(who string, addrs Addrs) {
		t.Helper()
		if len(addrs.All()) != 2 || !addrs.V4.Is4() || !addrs.V6.Is6() {
			t.Errorf("%s has %v", who, addrs)
		}
		for _, a := range addrs.All() {
			if owner[a] != "" {
				t.Fatalf("%s belongs to %s and %s", a, owner[a], who)
			}
			owner[a] = who
		}
	}
	claim("router", p.serverPlane(groupRouter, 1).addrs())
	for i := 1; i <= MaxClients; i++ {
		claim("router toward client", p.client(i, 1).addrs())
		claim("client", p.client(i, 2).addrs())
	}
	for i := 1; i <= MaxNodes; i++ {
		claim("router toward node", p.clientPlane(i, 1).addrs())
		claim("node", p.clientPlane(i, 2).addrs())
		claim("node on server plane", p.serverPlane(groupNode, i).addrs())
		claim("SNIP", p.serverPlane(groupSNIP, i).addrs())
	}
	for i := 1; i <= MaxBackends; i++ {
		claim("backend", p.serverPlane(groupBackend, i).addrs())
	}
	for i := 1; i <= MaxVIPs; i++ {
		vip := p.vip(i)
		claim("VIP", vip)
		for n, subnet := range p.vips() {
			if !subnet.Contains(vip.All()[n]) {
				t.Errorf("VIP %v is not in %v", vip, subnet)
			}
		}
	}
}

func TestPlanWithoutIPv6(t *testing.T) {
	p := plan{}
	for _, addrs := range []Addrs{p.vip(1), p.client(1, 2).addrs(), p.clientPlane(1, 2).addrs(), p.serverPlane(groupSNIP, 1).addrs()} {
		if addrs.V6.IsValid() || len(addrs.All()) != 1 {
			t.Errorf("%v in a lab without IPv6", addrs)
		}
	}
}

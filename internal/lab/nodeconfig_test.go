package lab_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"appliance/internal/config"
	"appliance/internal/lab"
)

// TestConfigIsAccepted: the appliance understands what nodes are started with,
// as it was meant.
func TestConfigIsAccepted(t *testing.T) {
	l := build(t, lab.Config{Nodes: 2, Backends: 3, IPv6: true})
	node := l.Nodes[1]
	services := l.Services("dsr", "roundrobin")
	services[0].Weights = []int{5, 0}
	text, err := node.Config(lab.NodeOptions{
		Services: services,
		Engine:   map[string]string{"engines": "2", "batch": "32"},
		Extra:    "[log]\nlevel = \"debug\"",
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("n2.toml", []byte(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	if cfg.Node.ID != 2 || cfg.Engine.Engines != 2 || cfg.Engine.Batch != 32 || cfg.Log.Level != "debug" || cfg.API.Socket != node.Socket() {
		t.Errorf("node %+v, engine %+v, log %+v, api %+v", cfg.Node, cfg.Engine, cfg.Log, cfg.API)
	}
	if !slices.Equal(cfg.NAT.SNIPs, node.SNIP.All()) {
		t.Errorf("SNIPs %v, want %v", cfg.NAT.SNIPs, node.SNIP.All())
	}
	if len(cfg.VServers) != 8 {
		t.Fatalf("%d virtual servers, want four services on two addresses", len(cfg.VServers))
	}
	http, udp := cfg.VServers[0], cfg.VServers[7]
	if http.Name != "http4" || http.VIP != l.VIPs[0].V4 || http.Health.Path != "/health" ||
		udp.Name != "udp6" || udp.VIP != l.VIPs[0].V6 || udp.Port != 7 {
		t.Errorf("first virtual server %+v, last %+v", http, udp)
	}
	var weights []int
	var addresses []netip.Addr
	for _, b := range http.Backends {
		weights, addresses = append(weights, b.Weight), append(addresses, b.Address)
	}
	if !slices.Equal(weights, []int{5, 0, 1}) || addresses[2] != l.Backends[2].Addr.V4 {
		t.Errorf("weights %v, addresses %v, want 5, 0 and the default", weights, addresses)
	}
}

func TestConfigCanBeGivenWhole(t *testing.T) {
	l := build(t, lab.Config{})
	text, err := l.Nodes[0].Config(lab.NodeOptions{Config: "whatever", Extra: "ignored"})
	if err != nil || text != "whatever" {
		t.Errorf("Config: %q, %v, want what was given", text, err)
	}
	text, err = l.Nodes[0].Config(lab.NodeOptions{})
	if err != nil || !strings.Contains(text, `mode = "nat"`) || !strings.Contains(text, `method = "maglev"`) {
		t.Errorf("Config: %v\n%s\nwant nat and maglev by default", err, text)
	}
}

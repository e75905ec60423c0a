package vserver

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever reloads, health and time do to flows, no gauge counts flows that
// don't exist, and when all have expired, all gauges are at 0.
func TestGaugesProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newSizedNode(t, testConfig(NAT, Maglev, 3), 64, 64)
		check := func(most uint64) {
			for _, r := range n.services().Report([]*Counters{n.handler.Counters()}) {
				if r.Traffic.Flows > most {
					rt.Fatalf("service %s: %d flows, of %d at most", r.Config.Name, r.Traffic.Flows, most)
				}
				for _, b := range r.Backends {
					if b.Traffic.Flows > most {
						rt.Fatalf("backend %s: %d flows, of %d at most", b.Config.Name, b.Traffic.Flows, most)
					}
				}
			}
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"packets", "reload", "health", "time"}).Draw(rt, "step") {
			case "packets":
				first := rapid.IntRange(0, 200).Draw(rt, "first")
				for i := range 40 {
					n.one(clientSide, paths[i%len(paths)].from(first+i).open())
				}
			case "reload":
				mode := rapid.SampledFrom(allModes).Draw(rt, "mode")
				cfg := testConfig(mode, RoundRobin, rapid.IntRange(0, 4).Draw(rt, "backends"))
				cfg.Services = cfg.Services[rapid.IntRange(0, 3).Draw(rt, "gone"):]
				cfg.SNIPs = cfg.SNIPs[rapid.IntRange(0, 1).Draw(rt, "SNIPs gone"):]
				n.load(cfg)
			case "health":
				for _, s := range n.services().config.Services {
					n.down[s.Name+fmt.Sprint("/b", rapid.IntRange(1, 4).Draw(rt, "backend"))] = rapid.Bool().Draw(rt, "down")
				}
				n.load(n.services().config)
			case "time":
				n.pass(time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds")) * time.Second)
			}
			n.pass(0)
			check(64)
		}
		n.pass(6 * time.Minute)
		check(0)
	})
}

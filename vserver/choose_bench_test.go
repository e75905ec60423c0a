package vserver

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkChoose measures the choice of a new flow's backend, and what
// counting the flow costs beside it, with engines alone and at once.
func BenchmarkChoose(b *testing.B) {
	for _, method := range []Method{Maglev, RoundRobin, LeastConn} {
		for _, backends := range []int{4, 64, 1024} {
			cfg := testConfig(DSR, method, 0)
			cfg.Services = cfg.Services[:1]
			cfg.Services[0].Backends = manyBackends(backends)
			n := newNode(b, cfg)
			s := n.services()
			n.handler.begin(&n.snapshot, n.now)
			client := [16]byte{10: 0xff, 11: 0xff, 12: 192}
			b.Run(fmt.Sprintf("method=%v/backends=%d", method, backends), func(b *testing.B) {
				for i := range b.N {
					be, _ := n.handler.choose(s, &s.services[0], uint32(i)*0x9e3779b1, &client)
					n.handler.count.backends[be.ref.Slot()].turn(1)
				}
			})
		}
	}
	b.Run("contended share", func(b *testing.B) {
		var one atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one.Add(1)
			}
		})
	})
}

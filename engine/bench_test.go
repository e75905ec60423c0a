package engine

import "testing"

// BenchmarkPass is the loop's own cost: receive, parse, hash, verdict,
// transmit, reclaim, refill, for a handler that does nothing.
func BenchmarkPass(b *testing.B) {
	g, _ := newTestGroup(b, 1, 256, newEcho)
	e := g.engines[0]
	if err := e.closePorts(); err != nil {
		b.Fatal(err)
	}
	e.addPort(0, newStockPort(g.arena, udpFrame(7)))
	b.ReportAllocs()
	for b.Loop() {
		e.pass()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(e.counters.TxPackets), "ns/packet")
}

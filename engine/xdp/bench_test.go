package xdp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"

	"appliance/internal/privtest"
)

// BenchmarkDenied measures the program for a frame to a VIP, with so many denied
// networks, of which none is its source's. The queue has no socket.
func BenchmarkDenied(b *testing.B) {
	for _, n := range []int{0, 1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			addresses, err := NewAddresses(16)
			if err != nil {
				privtest.Unable(b, "make a BPF map", err)
			}
			defer addresses.Close()
			denied, err := NewDenied(max(n, 1))
			if err != nil {
				b.Fatal(err)
			}
			defer denied.Close()
			p, err := Load(Config{Addresses: addresses, Denied: denied, Queues: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			var set []netip.Prefix
			random := rand.New(rand.NewPCG(1, 2))
			for len(set) < n {
				a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, random.Uint32())))
				if net := netip.PrefixFrom(a, 24).Masked(); !net.Contains(other4) {
					set = append(set, net)
				}
			}
			if err := addresses.Set(ourAddresses()); err != nil {
				b.Fatal(err)
			}
			if err := denied.Set(set); err != nil {
				b.Fatal(err)
			}
			_, took, err := p.objects.Redirect.Benchmark(v4(b, vip4, layers.IPProtocolTCP, tcp), 1_000_000, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(took.Nanoseconds()), "ns/frame")
		})
	}
}

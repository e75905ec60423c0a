package e2e

import (
	"math/rand/v2"
	"slices"
	"testing"

	pt "appliance/engine/packet/packettest"
	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// Tens of thousands of frames that are almost right, on both planes, toward
// services in both modes. None is missing from the counters afterwards.
func TestHostileFuzz(t *testing.T) {
	const frames = 50_000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	l := buildLab(t, lab.Config{IPv6: true, Queues: 2, Tunnels: true})
	services := l.Services("nat", "maglev")
	for i, s := range services {
		switch {
		case s.Port == origin.StreamPort:
			services[i].Mode = "gue"
		case s.Protocol == "udp" && s.VIP.Is4():
			services[i].Mode, services[i].Crossed = "ipip", true
		case s.Protocol == "udp":
			services[i].Mode = "dsr"
		}
	}
	v := newTarget(t, l, lab.NodeOptions{Services: services, Engine: map[string]string{
		"engines": "2", "flow_capacity": "4096",
	}})
	seeds := v.seeds()
	before := v.memory(t)
	for _, plane := range []string{lab.ClientPlane, lab.ServerPlane} {
		for range 5 {
			batch := make([][]byte, frames/10)
			for i := range batch {
				batch[i] = mutate(random, seeds)
			}
			v.send(t, plane, batch)
			v.unharmed(t, plane)
		}
	}
	checkTraffic(t, l)
	v.unharmed(t, "traffic")
	v.steady(t, before)
	eventually(t, "every frame is accounted for", func() bool {
		for _, i := range status(t, v.process).Interfaces {
			got := uint64(0)
			for _, p := range i.Ports {
				got += p.RxPackets + p.RxDropped + p.RxRingFull
			}
			if i.Filter.Redirected != got || i.Filter.NoSocket > 0 {
				return false
			}
		}
		return true
	})
}

// seeds are the frames of all cases, and sound ones of every kind that a
// service meets.
func (v *target) seeds() (frames [][]byte) {
	for _, group := range [][]hostile{
		v.cutShort(), v.lengths4(), v.lengths6(), v.transportLengths(), v.ipChecksums(), v.flagsAndPorts(), v.sources(),
		v.sourceRoutes(), v.extensionHeaders(), v.protocols(), v.timeToLive(), v.tags(), v.fragments(), v.icmp(),
		v.icmp6(), v.strays(), v.damaged(""),
	} {
		for _, c := range group {
			frames = append(frames, c.frame)
		}
	}
	data := pt.PayloadSize(1000)
	for _, port := range []int{origin.HTTPPort, origin.EchoPort, origin.StreamPort, 9} {
		for _, flags := range []string{"S", "A", "PA", "FA", "R"} {
			frames = append(frames,
				pt.TCP(hostile4+":4004", v.vip4(port), pt.Flags(flags), pt.MSS(1460), data),
				pt.TCP("["+hostile6+"]:4004", v.vip6(port), pt.Flags(flags), pt.HopByHop(8), data))
		}
		frames = append(frames,
			pt.UDP(hostile4+":4004", v.vip4(port), pt.VLAN(0), data),
			pt.UDP("["+hostile6+"]:4004", v.vip6(port), pt.DestinationOptions(24), data))
	}
	return frames
}

// mutate returns a random seed with a few random changes. Half of those over
// IPv4 have a right header checksum, for else most would get no further.
func mutate(r *rand.Rand, seeds [][]byte) []byte {
	const longest = 1514
	f := slices.Clone(seeds[r.IntN(len(seeds))])
	for range 1 + r.IntN(4) {
		switch at := min(12+r.IntN(80), len(f)-1); r.IntN(6) {
		case 0:
			f[at] ^= 1 << r.IntN(8)
		case 1:
			f[at] = byte(r.Uint32())
		case 2: // a length, an offset or a port at its limit
			n := []uint16{0, 1, 7, 8, 19, 20, 39, 40, 0x7fff, 0x8000, 0xfff8, 0xffff, uint16(len(f)), uint16(len(f) - ipAt)}[r.IntN(14)]
			copy(f[at:], []byte{byte(n >> 8), byte(n)})
		case 3:
			f = f[:ipAt+r.IntN(len(f)-ipAt+1)]
		case 4:
			f = append(f, make([]byte, r.IntN(longest-len(f)+1))...)
		case 5: // the end of another
			other := seeds[r.IntN(len(seeds))]
			f = append(f[:min(at, len(other))], other[min(at, len(other)):]...)
		}
	}
	f = f[:min(len(f), longest)]
	if r.IntN(2) == 0 && len(f) >= l4At4 && f[ipAt]>>4 == 4 {
		f = mended(f, 0)
	}
	return f
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/lab/traffic"
	"appliance/internal/node"
)

// honest are the clients of the flood scenario: kernel sockets, through a node to
// kernel sockets.
type honest struct {
	streams *traffic.Streams
	fresh   *traffic.HTTP
	done    sync.WaitGroup
}

func newHonest(l *lab.Lab) *honest {
	vip, dial := l.VIPs[0].V4, l.Clients[0].DialContext
	return &honest{
		streams: traffic.NewStreams(traffic.StreamsConfig{
			Dial: dial, Target: netip.AddrPortFrom(vip, origin.EchoPort),
			Streams: floodStreams, Chunk: floodChunk, Rate: floodChunks,
		}),
		fresh: traffic.NewHTTP(traffic.HTTPConfig{
			Dial: dial, Target: netip.AddrPortFrom(vip, origin.HTTPPort),
			FreshRate: floodFresh, Size: 1000, ConnectTimeout: floodConnect,
		}),
	}
}

// run lets the clients drive until ctx ends.
func (h *honest) run(ctx context.Context) {
	h.done.Go(func() { h.streams.Run(ctx) })
	h.done.Go(func() { h.fresh.Run(ctx) })
}

// established waits until all streams are open and have moved something.
func (h *honest) established(ctx context.Context) error {
	const patience = 20 * time.Second
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		r := h.streams.Report()
		switch {
		case r.Failed() > 0:
			return fmt.Errorf("%d streams failed before the flood: %v", r.Failed(), r.Failures)
		case r.Opened == floodStreams && r.OK >= 2*floodStreams:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("%d of %d streams open after %v", r.Opened, floodStreams, patience)
		}
	}
}

// A view is what is known at one moment of a window.
type view struct {
	at      time.Time
	streams traffic.Report
	fresh   traffic.Report
	sent    uint64 // forged SYNs
	status  node.Status
	memory  int // of the node, bytes
	busy    time.Duration
}

func (h *honest) look(ctx context.Context, p *lab.Process, a *attacker) (v view, err error) {
	if v.status, err = p.Status(ctx); err != nil {
		return v, err
	}
	if v.memory, err = residentOf(strconv.Itoa(p.PID())); err != nil {
		return v, err
	}
	if v.sent, _, err = a.gen.Sent(); err != nil {
		return v, err
	}
	v.busy, _, err = processors()
	v.at, v.streams, v.fresh = time.Now(), h.streams.Report(), h.fresh.Report()
	return v, err
}

// A window is what happened between two views.
type window struct{ from, to view }

// watch watches a window, under the flood if strike is set.
func (h *honest) watch(ctx context.Context, p *lab.Process, a *attacker, length time.Duration, strike bool) (w window, err error) {
	if w.from, err = h.look(ctx, p, a); err != nil {
		return w, err
	}
	flooded := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	if strike {
		go func() { flooded <- a.strike(ctx) }()
	} else {
		flooded <- nil
	}
	<-ctx.Done()
	if err := <-flooded; err != nil {
		return w, err
	}
	w.to, err = h.look(context.WithoutCancel(ctx), p, a)
	return w, err
}

// add adds what honest clients have noticed.
func (w *window) add(r *run, mode, when string) {
	seconds := w.to.at.Sub(w.from.at).Seconds()
	exchanged := float64(w.to.streams.OK - w.from.streams.OK)
	r.Add(mode+"_goodput_"+when, "MB/s", exchanged*floodChunk/seconds/1e6)
	r.Add(mode+"_broken_"+when, "connections", float64(w.to.streams.Broken-w.from.streams.Broken))
	ok := float64(w.to.fresh.OK - w.from.fresh.OK)
	failed := float64(w.to.fresh.Failed() - w.from.fresh.Failed())
	if ok+failed > 0 {
		r.Add(mode+"_new_"+when, "of new connections", ok/(ok+failed))
	}
	r.Add(mode+"_cpu_"+when, "CPUs", (w.to.busy-w.from.busy).Seconds()/seconds)
	r.Add(mode+"_memory_"+when, "MiB", float64(w.to.memory)/mebibyte)
}

// counted adds what the flood was counted as.
func (w *window) counted(r *run, mode string) {
	seconds := w.to.at.Sub(w.from.at).Seconds()
	add := func(what, unit string, before, after uint64) {
		r.Add(mode+"_"+what, unit, float64(after-before))
	}
	r.Add(mode+"_sent", "forged SYNs/s", float64(w.to.sent-w.from.sent)/seconds)
	add("received", "packets", w.from.status.Totals.RxPackets, w.to.status.Totals.RxPackets)
	add("lost_in_kernel", "packets", lostInKernel(&w.from.status), lostInKernel(&w.to.status))
	before, after := w.from.status.Engines[0], w.to.status.Engines[0]
	add("gave_way", "flows", before.EvictedFlows, after.EvictedFlows)
	add("unlisted", "packets", before.UnlistedFlows, after.UnlistedFlows)
	for why, n := range after.Dropped {
		if n > before.Dropped[why] {
			add("dropped_"+why, "packets", before.Dropped[why], n)
		}
	}
}

// lostInKernel returns the packets that engines never saw.
func lostInKernel(s *node.Status) (n uint64) {
	for _, i := range s.Interfaces {
		n += i.Filter.NoSocket
		for _, p := range i.Ports {
			n += p.RxDropped + p.RxRingFull + p.FillEmpty
		}
	}
	return n
}

// station returns index and address of an interface of the calling thread's
// namespace.
func station(name string) (index int, mac [6]byte, err error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, mac, err
	}
	return i.Index, [6]byte(i.HardwareAddr), nil
}

// clientMAC returns the address of a node on its client plane.
func clientMAC(s node.Status) (mac [6]byte, err error) {
	for _, i := range s.Interfaces {
		if i.Name == lab.ClientPlane {
			hardware, err := net.ParseMAC(i.MAC)
			if err != nil {
				return mac, err
			}
			return [6]byte(hardware), nil
		}
	}
	return mac, errors.New("the node has no client plane")
}

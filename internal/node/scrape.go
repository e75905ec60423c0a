package node

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"appliance/engine/packet"
	"appliance/internal/nic"
	"appliance/vserver"
)

// Describe implements prometheus.Collector. Which series there are depends on
// the configuration, so none are promised.
func (n *Node) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector: it reads one Status and renders it.
func (n *Node) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := n.Status(ctx)
	if err != nil {
		meter{ch}.gauge(upDesc, 0)
		return
	}
	meter{ch}.status(&s)
}

// A meter sends values to a scrape.
type meter struct{ ch chan<- prometheus.Metric }

// status renders a whole Status.
func (m meter) status(s *Status) {
	stuck := slices.ContainsFunc(s.Engines, func(e EngineStatus) bool { return e.Stuck })
	m.gauge(upDesc, flag(!stuck))
	m.gauge(infoDesc, 1, s.Version, s.Node)
	m.count(snapshotDesc, s.Generation)
	m.gauge(reloadDesc, flag(s.Reload.Error != ""))
	m.gauge(deniedDesc, float64(s.DeniedPrefixes))
	if !stuck {
		m.gauge(framesDesc, float64(s.Frames.Free), "free")
		m.gauge(framesDesc, float64(s.Frames.Fill), "fill")
		m.gauge(framesDesc, float64(s.Frames.Transmit), "transmit")
		m.gauge(framesDesc, float64(s.Frames.Handoff), "handoff")
		m.gauge(framesDesc, float64(s.Frames.Held), "held")
	}
	for _, e := range s.Engines {
		m.engine(e)
	}
	for _, i := range s.Interfaces {
		m.iface(i)
	}
	for _, v := range s.Services {
		m.service(v)
	}
}

func (m meter) count(d *prometheus.Desc, v uint64, labels ...string) {
	m.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (m meter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (m meter) engine(e EngineStatus) {
	id := strconv.Itoa(e.ID)
	m.gauge(engineUp, flag(!e.Stuck), id)
	if e.Stuck {
		return
	}
	m.count(enginePasses, e.Passes, id)
	m.count(engineIdle, e.IdlePasses, id)
	m.count(engineSleeps, e.Sleeps, id)
	m.gauge(engineLongest, e.LongestPassUS/1e6, id)
	m.count(engineRx, e.RxPackets, id)
	m.count(engineRxBytes, e.RxBytes, id)
	m.count(engineTx, e.TxPackets, id)
	m.count(engineTxBytes, e.TxBytes, id)
	m.count(engineOwned, e.OwnedPackets, id)
	m.count(engineHandedOff, e.HandedOff, id)
	m.count(engineTakenOver, e.TakenOver, id)
	m.gauge(engineHeld, float64(e.Held), id)
	m.count(enginePings, e.Pings, id)
	m.count(engineErrors, e.ICMPErrors, id)
	m.gauge(engineFlows, float64(e.Flows), id)
	m.gauge(engineCapacity, float64(e.FlowCapacity), id)
	m.count(engineEvicted, e.EvictedFlows, id)
	m.count(engineUnlisted, e.UnlistedFlows, id)
	for why := packet.OK + 1; why < packet.Reasons; why++ { // zeros too: a rate needs a value to begin with
		m.count(engineDropped, e.Dropped[why.String()], id, why.String())
		m.count(engineAnswered, e.Answered[why.String()], id, why.String())
	}
}

func (m meter) iface(i InterfaceStatus) {
	m.gauge(ifaceUp, flag(i.State == stateUp), i.Name)
	m.gauge(ifaceRSS, flag(i.RSS == string(nic.Hardware)), i.Name)
	m.count(ifacePassed, i.Filter.Passed, i.Name)
	m.count(ifaceRedirect, i.Filter.Redirected, i.Name)
	m.count(ifaceNoSocket, i.Filter.NoSocket, i.Name)
	m.count(ifaceDenied, i.Filter.Denied, i.Name)
	for _, p := range i.Ports {
		queue := strconv.Itoa(p.Queue)
		m.count(portRx, p.RxPackets, i.Name, queue)
		m.count(portRxBytes, p.RxBytes, i.Name, queue)
		m.count(portTx, p.TxPackets, i.Name, queue)
		m.count(portTxBytes, p.TxBytes, i.Name, queue)
		m.count(portTxErrors, p.TxErrors, i.Name, queue)
		m.count(portRetries, p.TxRetries, i.Name, queue)
		m.count(portInvalid, p.TxInvalid, i.Name, queue, "kernel")
		m.count(portInvalid, p.Bad, i.Name, queue, "appliance")
		m.count(portRxLost, p.RxDropped, i.Name, queue, "kernel")
		m.count(portRxLost, p.RxRingFull, i.Name, queue, "rx_ring_full")
		m.count(portRxLost, p.FillEmpty, i.Name, queue, "fill_ring_empty")
		m.count(portKicks, p.Kicks, i.Name, queue)
	}
}

func (m meter) service(s ServiceStatus) {
	m.count(servicePackets, s.Packets, s.Name)
	m.count(serviceBytes, s.Bytes, s.Name)
	m.count(serviceNewFlows, s.NewFlows, s.Name)
	m.gauge(serviceFlows, float64(s.Flows), s.Name)
	m.gauge(serviceOpen, float64(s.Open), s.Name)
	m.gauge(serviceLimit, float64(s.MaxFlows), s.Name)
	m.gauge(serviceUp, flag(s.State == vserver.Up), s.Name)
	m.gauge(serviceMin, float64(s.MinHealthy), s.Name)
	m.gauge(serviceEligible, float64(s.Eligible), s.Name)
	for _, b := range s.Backends {
		m.gauge(backendUp, flag(b.Up), s.Name, b.Name)
		m.gauge(backendWeight, float64(b.Weight), s.Name, b.Name)
		m.gauge(backendRamp, b.Ramp, s.Name, b.Name)
		m.count(backendPackets, b.Packets, s.Name, b.Name)
		m.count(backendBytes, b.Bytes, s.Name, b.Name)
		m.count(backendNewFlows, b.NewFlows, s.Name, b.Name)
		m.gauge(backendFlows, float64(b.Flows), s.Name, b.Name)
		m.gauge(backendOpen, float64(b.Open), s.Name, b.Name)
		m.gauge(backendLimit, float64(b.MaxFlows), s.Name, b.Name)
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

package vserver

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
	"appliance/vserver/flows"
	"appliance/vserver/fragments"
)

// HandlerConfig describes one engine's Handler.
type HandlerConfig struct {
	Arena    *engine.Arena // where the packets lie
	Engine   int           // which engine this is, from 0
	Engines  int           // how many there are
	Capacity int           // flows that the table has room for; 96 bytes each, taken at once
	Seed     uint64        // keys the tables of flows and fragments, and the sources' limits: random and secret
	Held     int           // fragments that may wait for their first one, 1 to MaxHeld; 0 means MaxHeld

	// Asked, unless nil, receives when Unresolved has something to tell. Make it
	// with room for one; engines may share it.
	Asked chan<- struct{}
}

// A Handler is the virtual servers of one engine: it implements engine.Handler.
// It is used on that engine's thread only, but for what says otherwise.
type Handler struct {
	cfg      HandlerConfig
	arena    *engine.Arena
	table    *flows.Table
	snapshot *engine.Snapshot // of the pass
	services *Services        // of the pass
	now      int64            // of the pass, in ns
	tick     uint32           // of the pass, in ticks
	start    int64            // time of tick 0
	swept    int64            // time of the last sweep

	came    arrival
	hops    hopCache
	hop     fib.NextHop // scratch of toSender
	turns   []uint32    // by service slot: where its round robin stands
	count   counters
	limit   limiter // of answers
	gate    admission
	wanted  resolver
	started bool

	fragments *fragments.Table // of the datagrams whose fragments come to this engine
	ids       *fragments.IDs   // of those whose flows are this engine's
}

var _ engine.Holder = (*Handler)(nil)

// NewHandler returns a Handler with an empty flow table.
func NewHandler(cfg HandlerConfig) (*Handler, error) {
	if cfg.Engine < 0 || cfg.Engine >= cfg.Engines {
		return nil, fmt.Errorf("vserver: new handler: engine %d of %d", cfg.Engine, cfg.Engines)
	}
	h := &Handler{cfg: cfg, arena: cfg.Arena, services: noServices}
	var err error
	if h.fragments, err = fragments.New(cfg.Engine, cmp.Or(cfg.Held, MaxHeld), cfg.Seed); err != nil {
		return nil, fmt.Errorf("vserver: new handler: %w", err)
	}
	if h.ids, err = fragments.NewIDs(cfg.Engine, cfg.Engines, cfg.Seed); err != nil {
		return nil, fmt.Errorf("vserver: new handler: %w", err)
	}
	table, err := flows.New(flows.Config{Capacity: cfg.Capacity, Seed: cfg.Seed, Removed: h.count.ended})
	if err != nil {
		return nil, fmt.Errorf("vserver: new handler: %w", err)
	}
	h.table = table
	return h, nil
}

// Close gives the flow table's memory back. The engine must have ended.
func (h *Handler) Close() error { return h.table.Close() }

// What a packet is, as classify finds it. Scratch holds it, and what goes with
// it, from stage to stage.
const (
	stray       = iota // isn't for this node, or not that way
	stranger           // neither VIP nor SNIP
	unserved           // to a VIP, but to none of its services
	other              // without ports, to whomever: ICMP
	decided            // a fragment that has got its verdict
	request            // of a client to a service: this and the next belong to flows
	response           // of a backend to a SNIP
	clientError        // ICMP error about what a service sent to a client
	serverError        // ICMP error about what a SNIP sent to a backend
)

// Places in Packet.Scratch.
const (
	kind = iota
	slot // request, clientError: the service's; response, serverError: the SNIP's number; stray: the reason
	hint
	_ // of a fragment that goes on: its datagram's fragments.Tag
)

// Decide implements engine.Handler. It works in stages, each for the whole
// batch, so that the cache misses of different packets' look-ups overlap.
func (h *Handler) Decide(snapshot *engine.Snapshot, now int64, batch []engine.Packet) {
	s := h.begin(snapshot, now)
	h.classify(s, batch)
	h.probe(batch)
	h.act(s, batch)
	h.wanted.tell(h.cfg.Asked)
}

// begin opens a pass under a snapshot. One without Services owns nothing.
func (h *Handler) begin(snapshot *engine.Snapshot, now int64) *Services {
	s, ok := snapshot.App.(*Services)
	if !ok {
		s = noServices
	}
	if !h.started {
		h.started, h.start, h.swept = true, now, now
	}
	if s != h.services {
		h.adopt(s)
	}
	h.snapshot, h.now = snapshot, now
	h.tick = flows.Ticks(time.Duration(now - h.start))
	h.table.Begin(h.tick, &s.roster)
	return s
}

// adopt goes over to new Services. It may allocate: it runs once a publication.
func (h *Handler) adopt(s *Services) {
	h.services = s
	h.limit.set(s.config.AnswerRate)
	h.came = arrival{}
	h.gate.set(s.config.Limits, h.cfg.Seed)
	h.hops.adopt(s.routes)
	for len(h.turns) < len(s.services) {
		h.turns = append(h.turns, uint32(h.cfg.Engine)) // engines don't all begin with the same backend
	}
	h.count.adopt(s)
}

// classify finds out what each packet is, and has the processor fetch the place
// where its flow would be.
func (h *Handler) classify(s *Services, batch []engine.Packet) {
	for i := range batch {
		p := &batch[i]
		frame := h.arena.Bytes(p.Segment)
		if why := h.strayed(s, p, frame); why != packet.OK {
			p.Scratch[kind], p.Scratch[slot] = stray, uint32(why)
			continue
		}
		if p.Flags&(packet.FlagPorts|packet.FlagFragment) != packet.FlagPorts && !h.portless(s, p, frame) {
			continue
		}
		h.table.Touch(p.Hash)
		dst := destination(frame, &p.Info)
		if n, ok := s.bySNIP.find(dst, hostTag); ok && !s.fromServers(p.In) {
			p.Scratch[kind], p.Scratch[slot] = stray, uint32(packet.WrongPlane)
		} else if ok {
			p.Scratch[kind], p.Scratch[slot] = response, n
		} else if n, ok := s.byPort.find(dst, portTag(p.DstPort, p.Proto)); ok {
			p.Scratch[kind], p.Scratch[slot] = request, n
		} else if ranges, ok := s.vips.find(dst, hostTag); ok {
			p.Scratch[kind] = unserved
			if n, ok := s.inRange(ranges, p.DstPort, p.Proto); ok {
				p.Scratch[kind], p.Scratch[slot] = request, n
			}
		} else {
			p.Scratch[kind] = stranger
		}
	}
}

// probe finds the record that each packet's flow probably has, and has the
// processor fetch it.
func (h *Handler) probe(batch []engine.Packet) {
	for i := range batch {
		if p := &batch[i]; p.Scratch[kind] >= request {
			p.Scratch[hint] = uint32(h.table.Probe(p.Hash))
		}
	}
}

// act gives each packet its verdict.
func (h *Handler) act(s *Services, batch []engine.Packet) {
	for i := range batch {
		p := &batch[i]
		switch p.Scratch[kind] {
		case request:
			h.serve(s, p, &s.services[p.Scratch[slot]])
		case response:
			h.back(s, p)
		case clientError:
			h.errorToBackend(s, p, &s.services[p.Scratch[slot]])
		case serverError:
			h.errorToClient(s, p)
		case unserved:
			h.refuse(s, p, packet.NoService, s.config.OnNoService)
		case other:
			h.answerPing(s, p)
		case stray:
			drop(p, packet.Reason(p.Scratch[slot]))
		case decided:
		default:
			drop(p, packet.NotOurs)
		}
	}
}

// drop is the verdict of packets that end here.
func drop(p *engine.Packet, why packet.Reason) { p.Verdict, p.Reason = engine.Drop, why }

// sweepPeriod is how long the sweep takes to go around the flow table: the room
// of an expired flow is of use that much later at worst.
const sweepPeriod = 8 * time.Second

// maxSweep bounds the records that one Housekeep looks at: some 40 us, half a millisecond if all of them have expired.
const maxSweep = 8192

// Housekeep implements engine.Handler: it frees what has expired.
func (h *Handler) Housekeep(snapshot *engine.Snapshot, now int64) {
	if s := h.begin(snapshot, now); s.memory != nil {
		s.memory.clock.Store(h.second())
	}
	past := min(now-h.swept, int64(sweepPeriod)) // longer if the process was stopped
	if n := int64(h.cfg.Capacity) * past / int64(sweepPeriod); n > 0 {
		h.table.Sweep(int(min(n, maxSweep)))
		h.swept = now
	}
	h.fragments.Expire(now, expirePerPass)
}

// destination returns where a packet goes.
func destination(frame []byte, info *packet.Info) address {
	if info.Flags&packet.FlagIPv6 == 0 {
		return address{0, v4Mapped | uint64(binary.BigEndian.Uint32(frame[info.L3+16:]))}
	}
	b := frame[info.L3+24:]
	return address{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// grow returns s with at least n elements.
func grow[T any](s []T, n int) []T {
	if n > len(s) {
		s = append(s, make([]T, n-len(s))...)
	}
	return s
}

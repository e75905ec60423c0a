package engine

import (
	"time"

	"appliance/engine/packet"
)

// Counters are what an engine has done since it started. The engine's thread
// alone writes them; Engine.Counters copies them between two passes.
//
// Every packet is accounted for: RxPackets + TakenOver = TxPackets + HandedOff
// + the sum of Dropped + Held, once the engine is at rest.
type Counters struct {
	Passes      uint64        // turns of the loop
	IdlePasses  uint64        // turns that found nothing to do
	Sleeps      uint64        // waits of an idle engine
	LongestPass time.Duration // longest turn, from one clock reading to the next
	RxPackets   uint64        // received from ports
	RxBytes     uint64
	HandedOff   uint64 // given to the engine that owns them
	TakenOver   uint64 // taken from engines that don't own them
	Owned       uint64 // decided by this engine's Handler; again when it had held them
	Held        uint64 // with the Handler now, which holds them back
	TxPackets   uint64 // taken by ports for transmission
	TxBytes     uint64
	Dropped     [packet.Reasons]uint64 // dropped, by reason
}

// Drops returns how many packets were dropped, for any reason.
func (c *Counters) Drops() uint64 {
	var n uint64
	for _, d := range c.Dropped {
		n += d
	}
	return n
}

package engine

// A Handler decides what becomes of packets: it is the room above the engine
// (virtual servers; later the backplane). Each engine has a Handler of its own
// and calls it from its own thread only, so a Handler needs no locks.
type Handler interface {
	// Decide gives every packet of the batch its Verdict. It may rewrite the
	// frame's bytes, grow it at the front into the headroom or shrink it by
	// changing Off and Len. It may not keep the frame.
	//
	// No lock, map write, channel, allocation, log, clock read or interface
	// call per packet: s was loaded and now was read once for the pass.
	Decide(s *Snapshot, now int64, batch []Packet)

	// Housekeep does a bounded slice of periodic work (expiry, timers). The
	// engine calls it at least every 100 ms, at most once a pass. s and now
	// are those of the pass.
	Housekeep(s *Snapshot, now int64)
}

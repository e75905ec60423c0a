package engine

// A Handler decides what becomes of packets: it is the room above the engine
// (virtual servers; later the backplane). Each engine has a Handler of its own
// and calls it from its own thread only, so a Handler needs no locks.
type Handler interface {
	// Decide gives every packet of the batch its Verdict. Each comes with Drop and
	// the Reason OK, but those that Release returned as they are. It may rewrite the
	// frame's bytes, grow it at the front into the headroom or shrink it by
	// changing Off and Len. It may not keep the frame, unless it is a Holder.
	//
	// No lock, map write, channel, allocation, log, clock read or interface
	// call per packet: s was loaded and now was read once for the pass.
	Decide(s *Snapshot, now int64, batch []Packet)

	// Housekeep does a bounded slice of periodic work (expiry, timers). The
	// engine calls it at least every 100 ms, at most once a pass. s and now
	// are those of the pass.
	Housekeep(s *Snapshot, now int64)
}

// A Holder is a Handler that may hold packets back until it knows more. The
// Verdict Hold makes a packet the Holder's own, and its frame with it: the Holder
// copies the Packet and answers for the frame until it gives both back. That it
// does by Release, or by putting the packet into a place of the batch whose own
// packet it holds instead. How many it holds at a time must be bounded, well
// below the frames that an engine has.
type Holder interface {
	Handler

	// Release moves packets that are not to be held any longer into out, and
	// returns how many. They are the first of the pass's batch, so Decide meets
	// them again. The engine calls it at the start of each pass.
	Release(out []Packet) int

	// Held returns how many packets the Holder has: its part of the frame ledger.
	Held() int
}

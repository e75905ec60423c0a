package flows

import "appliance/engine/packet"

// Constants of sequence number comparison.
const (
	// inFlight is how far behind the end of a side's stream a late segment of
	// it may end: the largest window in use today, 16 MiB. Larger means that a
	// forged FIN or RST is believed more often, and taken back less often (here
	// 1 time in 256).
	inFlight = 1 << 24

	// lag is by how much a record may be behind what the server acknowledges, so
	// that most packets leave its cache line clean.
	lag = 1 << 20

	// firstFlight is how much a server may have sent before its SYN was
	// acknowledged (RFC 7413), plenty for an initial window of 10 segments
	// (RFC 6928). Larger means that a blind acknowledgment is believed more
	// often (here 1 time in 65,536).
	firstFlight = 1 << 16
)

// Track takes note of a packet of the flow that comes from side from, and
// postpones or shortens the Deadline. l4 is the packet from its transport
// header to the end of its payload, as packet.Parse found it sound.
//
// UDP:
//
//	Fresh ─ client ─► Unreplied ─ server ─► Answered ─ client ─► Replied
//
// or, in dsr, where the client alone is seen, from Unreplied straight to Replied.
//
// TCP in nat, where both sides are seen:
//
//	Fresh ─ client ─► SynSent ─ server: SYN+ACK ─► SynReceived
//	SynReceived ─ client: ACK of that SYN ─► Established
//	Established ─ FIN ─► FinClient or FinServer ─ the other's FIN ─► Closing
//	Established, FinClient, FinServer ─ RST ─► ResetClient or ResetServer
//
//	ResetClient ─ server: SYN+ACK ─► SynReceived
//
// TCP in dsr, where the client alone is seen: any segment but a SYN or RST takes
// SynSent to Established, FinClient is the end, and a SYN takes that and
// ResetClient to SynSent.
//
// Each state lasts for its timeout, Closing and the Reset states for Rest, from
// the latest packet. A RST makes none last longer. During the handshake it
// changes nothing: little time is left anyway, and none at all if the RST is
// the first packet.
//
// # What a FIN or RST can do
//
// Both only shorten the time; neither ends a flow, because anybody can forge
// one. In nat a client's counts only within 8 MiB of what the server has last
// acknowledged, which nobody sees who isn't on the path. In dsr, and on the
// server's side, which is ours, each counts. What counted, a later segment of
// the same side takes back, if that side would not send it had it really
// closed: one that is no RST, and doesn't end within 16 MiB before the FIN or
// RST, as late ones do. So a forged RST that counts hurts only a connection that
// is idle for 60 s afterwards, or one whose source port is needed by another flow.
//
// # What a SYN can do
//
// A SYN of the client on a flow that [Record.Reopens] says is over is a new
// flow: Retire the old one. On any other flow it travels on without effect, and
// the backend judges it (RFC 5961 section 4): on one that the client has reset,
// because the RST may be forged, and if it was not, the backend, which has
// forgotten the connection, answers the SYN.
//
// In nat a flow is only established, and so safe from giving way, when the
// client has acknowledged the server's sequence number: who forges source
// addresses can't.
//
// Track reports whether the flow closed by this segment, or opened again: see
// [Record.Closed].
func (r *Record) Track(now uint32, to *Timeouts, from Side, l4 []byte) (turned bool) {
	if r.State == Established && l4[13]&(packet.TCPSyn|packet.TCPFin|packet.TCPRst) == 0 {
		r.postpone(now + to.Established)
		if from == Server {
			r.follow(l4)
		}
		return false
	}
	was := r.Closed()
	r.track(now, to, from, l4)
	return r.Closed() != was
}

// Closed reports whether the flow is over as far as this node has seen, though
// its record stays for a while. UDP flows never are.
func (r *Record) Closed() bool {
	return r.State.closed() || r.State == FinClient && !r.nat()
}

// track is Track for all that isn't the middle of a TCP connection.
func (r *Record) track(now uint32, to *Timeouts, from Side, l4 []byte) {
	if r.Proto == packet.ProtoTCP {
		r.trackTCP(now, to, from, l4)
	} else {
		r.trackUDP(now, to, from)
	}
}

// Reopens reports whether a TCP segment of the client that has these flags
// opens a new connection in place of this flow: whether the server too has said
// that the old one is over.
func (r *Record) Reopens(flags uint8) bool {
	over := r.State == Closing || r.State == ResetServer
	return over && flags&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn
}

// Doubt notes that the client has sent a datagram to a server that is said to be
// dead: the flow is as good as unanswered, unless the server answers, and doesn't
// last for the client's sake.
func (r *Record) Doubt(now uint32, to *Timeouts) {
	if r.State == Answered || r.State == Replied {
		r.State, r.Deadline = Unreplied, now+to.Unreplied
	}
}

// Forsaken reports whether a flow whose server is said to be dead waits in vain,
// so that a SYN or a datagram of its client may as well begin anew: a datagram
// after patience ticks without an answer, a SYN at once, but on an established
// connection only after as long a silence. What is said of the server may be
// wrong, and the SYN forged.
func (r *Record) Forsaken(now uint32, to *Timeouts, patience uint32) bool {
	silent := int32(now - (r.Deadline - to.of(r.State)))
	switch r.State {
	case Answered, Replied:
		return false // Doubt comes first
	case Unreplied, Established:
		return silent >= int32(patience)
	}
	return true
}

// postpone moves the Deadline later, not for less than slack.
func (r *Record) postpone(deadline uint32) {
	if deadline-r.Deadline >= slack {
		r.Deadline = deadline
	}
}

// trackUDP is Track for UDP.
func (r *Record) trackUDP(now uint32, to *Timeouts, from Side) {
	switch {
	case r.State == Replied:
		r.postpone(now + to.Replied)
	case r.State == Fresh || r.State == Unreplied && from == Client && r.nat():
		r.State, r.Deadline = Unreplied, now+to.Unreplied
	case from == Server:
		r.State, r.Deadline = Answered, now+to.Unreplied
	default:
		r.State, r.Deadline = Replied, now+to.Replied
	}
}

// trackTCP is Track for TCP segments that may change the state.
func (r *Record) trackTCP(now uint32, to *Timeouts, from Side, segment packet.TCP) {
	flags := segment.Flags()
	if flags&packet.TCPRst != 0 {
		r.reset(now, from, segment.Seq())
		return
	}
	if r.restarts(from, flags) {
		r.State = SynSent
	}
	switch r.State {
	case Fresh, SynSent, SynReceived:
		r.handshake(from, segment)
	case FinClient, FinServer, Closing, ResetClient, ResetServer:
		r.takeBack(from, segment)
	}
	if from == Server && (r.State == Established || r.State == FinServer) {
		r.follow(segment)
	}
	if flags&packet.TCPFin != 0 {
		r.finish(from, segment)
	}
	r.Deadline = now + to.of(r.State)
}

// restarts reports whether a segment begins a new connection in place of one
// that the client has reset or, in dsr, closed.
func (r *Record) restarts(from Side, flags uint8) bool {
	flags &= packet.TCPSyn | packet.TCPAck
	if r.nat() {
		return r.State == ResetClient && from == Server && flags == packet.TCPSyn|packet.TCPAck
	}
	return (r.State == ResetClient || r.State == FinClient) && flags == packet.TCPSyn
}

// follow keeps up with what the server acknowledges.
func (r *Record) follow(segment packet.TCP) {
	if ack := segment.Ack(); ack-r.closed[Client] >= lag && segment.Flags()&packet.TCPAck != 0 {
		r.closed[Client] = ack
	}
}

// believable reports whether side from may have sent a FIN or RST with this
// sequence number.
func (r *Record) believable(from Side, seq uint32) bool {
	return from == Server || !r.nat() || seq-r.closed[Client]+inFlight/2 < inFlight
}

// handshake handles a segment of a flow that isn't established yet.
func (r *Record) handshake(from Side, segment packet.TCP) {
	syn := segment.Flags()&packet.TCPSyn != 0
	ack := segment.Flags()&packet.TCPAck != 0
	switch {
	case r.State == Fresh:
		r.State = SynSent
	case from == Server && syn && ack:
		r.State, r.closed[Server] = SynReceived, segment.Seq()+1
	case r.State == SynReceived && from == Client && ack && segment.Ack()-r.closed[Server] < firstFlight:
		r.State, r.closed[Client] = Established, segment.Seq()
	case r.State == SynSent && !r.nat() && !syn:
		r.State = Established
	}
}

// finish handles a FIN of side from.
func (r *Record) finish(from Side, segment packet.TCP) {
	switch {
	case !r.believable(from, segment.Seq()):
		return
	case r.State == Established && from == Client:
		r.State = FinClient
	case r.State == Established && from == Server:
		r.State = FinServer
	case r.State == FinServer && from == Client, r.State == FinClient && from == Server:
		r.State = Closing
	default:
		return
	}
	r.closed[from] = sequenceEnd(segment)
}

// reset handles a RST of side from with sequence number seq.
func (r *Record) reset(now uint32, from Side, seq uint32) {
	open := r.State == Established || r.State == FinClient || r.State == FinServer
	if !open || !r.believable(from, seq) {
		return
	}
	r.State, r.Deadline = ResetClient+State(from), now+Rest
	r.closed[from] = seq
}

// takeBack undoes the FIN or RST of side from when this segment shows that the
// side goes on.
func (r *Record) takeBack(from Side, segment packet.TCP) {
	if segment.Flags()&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn ||
		r.closed[from]-sequenceEnd(segment) < inFlight {
		return
	}
	switch r.State {
	case FinClient + State(from), ResetClient + State(from):
		r.State = Established
	case Closing:
		r.State = FinServer - State(from) // the other side's FIN still counts
	}
}

// sequenceEnd returns the sequence number one past the segment (RFC 9293
// section 3.4: SYN and FIN count one each).
func sequenceEnd(segment packet.TCP) uint32 {
	end := segment.Seq() + uint32(len(segment)-segment.HeaderLen())
	if segment.Flags()&packet.TCPSyn != 0 {
		end++
	}
	if segment.Flags()&packet.TCPFin != 0 {
		end++
	}
	return end
}

package flows

import (
	"fmt"
	"time"
)

// TicksPerSecond is the resolution of the table's clock, in which every
// Deadline and timeout is measured. A uint32 of ticks lasts 8 years.
const TicksPerSecond = 16

// Rest is how long, in ticks, a closed flow keeps its record, and so its source
// port: 60 s, Linux's TCP_TIMEWAIT_LEN (include/net/tcp.h), after which the
// backend too has forgotten the port.
const Rest = 60 * TicksPerSecond

// slack is by how many ticks a Deadline may lie too early: a packet postpones
// it only by a second or more, so that most packets leave the record's cache
// line clean.
const slack = TicksPerSecond

// Ticks returns d in ticks, rounded down.
func Ticks(d time.Duration) uint32 { return uint32(d / (time.Second / TicksPerSecond)) }

// A State is how far a flow has come.
type State uint8

// The states. track.go has the transitions.
const (
	Free        State = iota // no flow: the record is on the free list
	Fresh                    // inserted, no packet tracked yet
	Unreplied                // UDP: nothing but the client's first packets seen
	Answered                 // UDP, nat: the server has answered, and the client has sent nothing since
	Replied                  // UDP: the client has gone on after an answer (dsr: has sent a second packet)
	SynSent                  // TCP: the client has begun
	SynReceived              // TCP: the server has answered with SYN+ACK
	Established              // TCP: the client has acknowledged (dsr: has gone on)
	FinClient                // TCP: the client has sent a FIN
	FinServer                // TCP: the server has sent a FIN
	Closing                  // TCP: both have
	ResetClient              // TCP: the client has sent a RST
	ResetServer              // TCP: the server has sent a RST
	Resting                  // nat: not found any more, holds its source port until that has rested
	states
)

var stateNames = [states]string{
	"free", "fresh", "unreplied", "answered", "replied", "syn_sent", "syn_received", "established",
	"fin_client", "fin_server", "closing", "reset_client", "reset_server", "resting",
}

// String returns the state's name as it stands in listings.
func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// closed reports whether the connection is over.
func (s State) closed() bool { return s >= Closing }

// yields returns how readily a flow gives way to a new one when the table is
// full or no source port is free: 2 when it is over, 1 when it may never have
// begun, 0 when it is in use. The middle ones are those that nobody has answered
// yet, and single questions that were answered: floods with forged sources make
// both, and must not keep others out.
func (s State) yields() int {
	switch {
	case s.closed():
		return 2
	case s == Fresh || s == Unreplied || s == Answered || s == SynSent || s == SynReceived:
		return 1
	}
	return 0
}

// Timeouts are how long a flow may be idle, in ticks, by state. All states that
// are not named here last for Rest.
type Timeouts struct {
	Handshake   uint32 // SynSent, SynReceived
	Established uint32 // Established
	HalfClosed  uint32 // FinClient, FinServer; not longer than Established
	Unreplied   uint32 // Unreplied, Answered
	Replied     uint32 // Replied
}

// DefaultTimeouts are for services that say nothing else. A flow that is idle
// for longer than its timeout breaks, so the two long ones are what the RFCs ask
// of a NAT that doesn't know what runs through it: RFC 5382 REQ-5, which
// outlasts the kernels' keep-alive interval of 2 h, and RFC 4787 REQ-5 c.
//
// A question and its answer are no such flow yet: they last as long as in Linux's
// connection tracking (nf_conntrack_udp_timeout). With five minutes each, 215
// questions a second would hold all source ports toward a backend.
//
// HalfClosed is less than RFC 5382 asks, and what Linux's connection tracking
// takes: clients keep connections that servers have closed, in pools, until
// they next use them, and meanwhile these would hold source ports.
var DefaultTimeouts = Timeouts{
	Handshake:   30 * TicksPerSecond,
	Established: 7440 * TicksPerSecond,
	HalfClosed:  2 * 60 * TicksPerSecond,
	Unreplied:   30 * TicksPerSecond,
	Replied:     5 * 60 * TicksPerSecond,
}

// of returns how long a flow may be idle in a state.
func (to *Timeouts) of(s State) uint32 {
	switch s {
	case Unreplied, Answered:
		return to.Unreplied
	case Replied:
		return to.Replied
	case SynSent, SynReceived:
		return to.Handshake
	case Established:
		return to.Established
	case FinClient, FinServer:
		return to.HalfClosed
	}
	return Rest
}

// Validate reports a timeout that is shorter than 2 s, which slack would eat,
// or longer than a day, or a HalfClosed longer than Established.
func (to Timeouts) Validate() error {
	for _, one := range []struct {
		name  string
		ticks uint32
	}{
		{"handshake", to.Handshake}, {"established", to.Established}, {"half closed", to.HalfClosed},
		{"unreplied", to.Unreplied}, {"replied", to.Replied},
	} {
		if one.ticks < 2*slack || one.ticks > 24*60*60*TicksPerSecond {
			return fmt.Errorf("flows: timeouts: %s is %v, want 2 s to 24 h",
				one.name, time.Duration(one.ticks)*(time.Second/TicksPerSecond))
		}
	}
	if to.HalfClosed > to.Established {
		return fmt.Errorf("flows: timeouts: half closed is longer than established")
	}
	return nil
}

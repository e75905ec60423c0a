package flows

import (
	"testing"

	"pgregory.net/rapid"

	"appliance/engine/packet"
)

// Short names for the flags of a test's segments.
const (
	syn    = packet.TCPSyn
	synAck = packet.TCPSyn | packet.TCPAck
	ack    = packet.TCPAck
	fin    = packet.TCPFin | packet.TCPAck
	rst    = packet.TCPRst
)

// A seg is a segment and what must be after it.
type seg struct {
	from     Side
	flags    uint8
	seq, ack uint32
	payload  int
	state    State
	timeout  uint32 // ticks that are left
}

// The timeouts of these tests differ from each other and from Rest.
var trackTimeouts = Timeouts{Handshake: 100, Established: 5000, HalfClosed: 2000, Unreplied: 300, Replied: 700}

// Openings that many connections share. The client's first sequence number is
// 1000, the server's 9000.
var (
	opening = []seg{
		{Client, syn, 1000, 0, 0, SynSent, 100},
		{Server, synAck, 9000, 1001, 0, SynReceived, 100},
		{Client, ack, 1001, 9001, 0, Established, 5000},
		{Client, ack, 1001, 9001, 500, Established, 5000},
		{Server, ack, 9001, 1501, 1400, Established, 5000},
	}
	directOpening = []seg{
		{Client, syn, 1000, 0, 0, SynSent, 100},
		{Client, ack, 1001, 9001, 0, Established, 5000},
	}
)

// then returns an opening with more segments.
func then(first []seg, more ...seg) []seg { return append(first[:len(first):len(first)], more...) }

var connections = map[string]struct {
	dsr      bool
	segments []seg
}{
	"client closes": {segments: then(opening,
		seg{Client, fin, 1501, 10401, 0, FinClient, 2000},
		seg{Server, ack, 10401, 1502, 100, FinClient, 2000}, // half closed: the server still sends
		seg{Client, ack, 1502, 10501, 0, FinClient, 2000},
		seg{Server, fin, 10501, 1502, 0, Closing, Rest},
		seg{Client, ack, 1502, 10502, 0, Closing, Rest})},
	"server closes": {segments: then(opening,
		seg{Server, fin, 10401, 1501, 0, FinServer, 2000},
		seg{Client, fin, 1501, 10402, 0, Closing, Rest})},
	"simultaneous close": {segments: then(opening,
		seg{Client, fin, 1501, 10401, 0, FinClient, 2000},
		seg{Server, fin, 10401, 1501, 0, Closing, Rest},
		seg{Server, ack, 10402, 1502, 0, Closing, Rest},
		seg{Client, ack, 1502, 10402, 0, Closing, Rest})},
	"lost segments are sent again after the FINs": {segments: then(opening,
		seg{Client, fin, 1501, 10401, 10, FinClient, 2000},
		seg{Client, ack, 1001, 9001, 500, FinClient, 2000},
		seg{Server, fin, 10401, 1512, 7, Closing, Rest},
		seg{Server, ack, 9001, 1512, 1400, Closing, Rest},
		seg{Client, fin, 1501, 10401, 10, Closing, Rest})},
	"forged FIN": {segments: then(opening,
		seg{Client, fin, 77777777, 1, 0, Established, 5000},
		seg{Client, fin, 1501, 10401, 0, FinClient, 2000})},
	"well guessed FIN": {segments: then(opening,
		seg{Client, fin, 1501 + 1<<32 - inFlight/2, 1, 0, FinClient, 2000},
		seg{Server, ack, 10401, 1501, 100, FinClient, 2000}, // says nothing about the client
		seg{Client, ack, 1501, 10501, 0, Established, 5000})},
	"forged FIN of the server": {segments: then(opening,
		seg{Server, fin, 77777777, 1501, 0, FinServer, 2000},
		seg{Client, fin, 1501, 10401, 0, Closing, Rest},
		seg{Server, ack, 10401, 1502, 100, FinClient, 2000},
		seg{Server, fin, 10501, 1502, 0, Closing, Rest})},
	"both FINs forged": {segments: then(opening,
		seg{Server, fin, 77777777, 1501, 0, FinServer, 2000},
		seg{Client, fin, 1501 + 1<<32 - inFlight/2, 1, 0, Closing, Rest},
		seg{Client, ack, 1501, 10401, 0, FinServer, 2000},
		seg{Server, ack, 10401, 1501, 0, Established, 5000})},
	"client resets": {segments: then(opening,
		seg{Client, rst, 1501, 0, 0, ResetClient, Rest},
		seg{Server, ack, 10401, 1501, 1400, ResetClient, Rest}, // was under way
		seg{Client, ack, 1401, 10401, 100, ResetClient, Rest},  // overtaken
		seg{Client, rst, 1501, 0, 0, ResetClient, Rest},
		seg{Server, rst, 10401, 0, 0, ResetClient, Rest})},
	"server resets half-closed": {segments: then(opening,
		seg{Client, fin, 1501, 10401, 0, FinClient, 2000},
		seg{Server, rst, 10401, 0, 0, ResetServer, Rest})},
	"forged RST": {segments: then(opening,
		seg{Client, rst, 77777777, 0, 0, Established, 5000},
		seg{Client, ack, 77777777, 0, 0, Established, 5000}, // forged too
		seg{Client, rst, 77777777, 0, 0, Established, 5000},
		seg{Client, fin, 1501, 10401, 0, FinClient, 2000},
		seg{Client, rst, 77777777, 0, 0, FinClient, 2000})},
	"well guessed RST": {segments: then(opening,
		seg{Client, rst, 1501 + 1<<32 - inFlight/2, 0, 0, ResetClient, Rest},
		seg{Server, ack, 10401, 1501, 100, ResetClient, Rest}, // still alive
		seg{Client, ack, 1501, 10401, 0, Established, 5000})},
	"long upload": {segments: then(opening,
		seg{Server, ack, 10401, 1501 + inFlight, 0, Established, 5000},
		seg{Server, ack, 10401, 1501 + 2*inFlight, 0, Established, 5000},
		seg{Client, rst, 1501, 0, 0, Established, 5000},
		seg{Client, rst, 1501 + 2*inFlight, 0, 0, ResetClient, Rest})},
	"new connection after a RST": {segments: then(opening,
		seg{Client, rst, 1501, 0, 0, ResetClient, Rest},
		seg{Client, syn, 5000, 0, 0, ResetClient, Rest},
		seg{Server, synAck, 1, 5001, 0, SynReceived, 100},
		seg{Client, ack, 5001, 2, 0, Established, 5000})},
	"new connection that the server has forgotten the old one for": {segments: then(opening,
		seg{Client, syn, 77777777, 0, 0, Established, 5000},
		seg{Server, synAck, 1, 77777778, 0, Established, 5000},
		seg{Client, ack, 77777778, 2, 0, Established, 5000},
		seg{Client, rst, 77777778, 0, 0, ResetClient, Rest})},
	"forged RST of the server": {segments: then(opening,
		seg{Server, rst, 77777777, 0, 0, ResetServer, Rest},
		seg{Client, ack, 1501, 10401, 0, ResetServer, Rest},
		seg{Server, ack, 10401, 1501, 0, Established, 5000})},
	"RST after both FINs": {segments: then(opening,
		seg{Client, fin, 1501, 10401, 0, FinClient, 2000},
		seg{Server, fin, 10401, 1502, 0, Closing, Rest},
		seg{Client, rst, 1502, 0, 0, Closing, Rest})},
	"SYN in the middle": {segments: then(opening,
		seg{Client, syn, 5555, 0, 0, Established, 5000},
		seg{Client, fin, 1501, 10401, 0, FinClient, 2000},
		seg{Client, syn, 77777777, 0, 0, FinClient, 2000})},
	"handshake with losses": {segments: []seg{
		{Client, syn, 1000, 0, 0, SynSent, 100},
		{Client, syn, 1000, 0, 0, SynSent, 100},
		{Server, synAck, 9000, 1001, 0, SynReceived, 100},
		{Server, synAck, 9000, 1001, 0, SynReceived, 100},
		{Client, ack, 1001, 9001, 500, Established, 5000}}},
	"request with FIN": {segments: []seg{
		{Client, syn, 1000, 0, 0, SynSent, 100},
		{Server, synAck, 9000, 1001, 0, SynReceived, 100},
		{Client, fin, 1001, 9001, 500, FinClient, 2000},
		{Server, fin, 9001, 1502, 900, Closing, Rest}}},
	"blind handshake": {segments: []seg{ // the client cannot have seen the server's SYN
		{Client, syn, 1000, 0, 0, SynSent, 100},
		{Client, ack, 1001, 1, 0, SynSent, 100},
		{Server, synAck, 9000, 1001, 0, SynReceived, 100},
		{Client, ack, 1001, 8999, 0, SynReceived, 100},
		{Client, ack, 1001, 9001 + firstFlight, 0, SynReceived, 100},
		{Client, rst, 1001, 9001, 0, SynReceived, 100},
		{Client, ack, 1001, 77777777, 0, SynReceived, 100},
		{Client, fin, 1001, 77777777, 0, SynReceived, 100},
		{Client, ack, 1001, 9000 + firstFlight, 0, Established, 5000}}},
	"refused": {segments: []seg{
		{Client, syn, 1000, 0, 0, SynSent, 100},
		{Server, rst | ack, 0, 1001, 0, SynSent, 100}}},
	"dsr": {dsr: true, segments: then(directOpening,
		seg{Client, ack, 1001, 9001, 500, Established, 5000},
		seg{Client, fin, 1501, 9900, 0, FinClient, 2000},
		seg{Client, ack, 1502, 9999, 0, FinClient, 2000})},
	"dsr, RST in the handshake": {dsr: true, segments: []seg{
		{Client, syn, 1000, 0, 0, SynSent, 100},
		{Client, rst, 1001, 0, 0, SynSent, 100}}},
	"dsr, forged RST": {dsr: true, segments: then(directOpening,
		seg{Client, rst, 77777777, 0, 0, ResetClient, Rest},
		seg{Client, ack, 1001, 9001, 0, Established, 5000})},
	"dsr, new connection after a FIN": {dsr: true, segments: then(directOpening,
		seg{Client, fin, 1001, 9001, 0, FinClient, 2000},
		seg{Client, syn, 5000, 0, 0, SynSent, 100},
		seg{Client, ack, 5001, 2, 0, Established, 5000},
		seg{Client, rst, 5001, 0, 0, ResetClient, Rest},
		seg{Client, syn, 8000, 0, 0, SynSent, 100})},
	"dsr, taken over in the middle": {dsr: true, segments: []seg{
		{Client, ack, 1001, 9001, 500, SynSent, 100},
		{Client, ack, 1501, 9901, 0, Established, 5000}}},
}

func TestTrackTCP(t *testing.T) {
	for name, c := range connections {
		t.Run(name, func(t *testing.T) {
			r := Record{Proto: packet.ProtoTCP, State: Fresh, SNIPPort: 5000}
			if c.dsr {
				r.SNIPPort = 0
			}
			now := uint32(1<<32 - 3*slack) // time wraps in the middle
			for i, s := range c.segments {
				before, deadline, wasOver := r.State, r.Deadline, over(&r)
				turned := r.Track(now, &trackTimeouts, s.from, segment(s.flags, s.seq, s.ack, s.payload))
				if r.Closed() != over(&r) || turned != (over(&r) != wasOver) {
					t.Fatalf("segment %d: from %v to %v: turned %v, closed %v", i, before, r.State, turned, r.Closed())
				}
				if r.State != s.state {
					t.Fatalf("segment %d: state %v, want %v", i, r.State, s.state)
				}
				// A RST that ends nothing leaves the time alone.
				want := now + s.timeout
				if s.flags&rst != 0 && r.State == before {
					want = deadline
				}
				if r.Deadline != want || r.Deadline-now > s.timeout {
					t.Fatalf("segment %d: %d ticks left, want %d", i, r.Deadline-now, want-now)
				}
				now += slack
			}
		})
	}
}

// over lists the states in which a connection is closed: in dsr, whose server
// isn't seen, as soon as the client has sent its FIN.
func over(r *Record) bool {
	switch r.State {
	case Closing, ResetClient, ResetServer:
		return true
	case FinClient:
		return r.SNIPPort == 0
	}
	return false
}

func TestTrackUDP(t *testing.T) {
	for _, c := range []struct {
		name     string
		snipPort uint16
		from     []Side
		state    State
		timeout  uint32
	}{
		{"nat, no reply", 5000, []Side{Client, Client, Client}, Unreplied, 300},
		{"nat, reply", 5000, []Side{Client, Server}, Answered, 300},
		{"nat, more of a reply", 5000, []Side{Client, Client, Server, Server, Server}, Answered, 300},
		{"nat, second question", 5000, []Side{Client, Server, Client}, Replied, 700},
		{"nat, goes on", 5000, []Side{Client, Server, Client, Server}, Replied, 700},
		{"dsr, one packet", 0, []Side{Client}, Unreplied, 300},
		{"dsr, goes on", 0, []Side{Client, Client, Client}, Replied, 700},
	} {
		r := Record{Proto: packet.ProtoUDP, State: Fresh, SNIPPort: c.snipPort}
		now := uint32(10)
		for _, from := range c.from {
			now += slack
			if r.Track(now, &trackTimeouts, from, make([]byte, 8)) || r.Closed() {
				t.Errorf("%s: closed", c.name)
			}
		}
		if r.State != c.state || r.Deadline != now+c.timeout {
			t.Errorf("%s: %v, %d ticks left, want %v, %d", c.name, r.State, r.Deadline-now, c.state, c.timeout)
		}
	}
}

// TestPostpone asserts that packets within a second leave the record's line
// clean, and that a flow still never expires more than slack too early.
func TestPostpone(t *testing.T) {
	r := Record{Proto: packet.ProtoTCP, State: Established, Deadline: 1000 + trackTimeouts.Established}
	for now := uint32(1000); now < 1100; now++ {
		before := r.Deadline
		r.Track(now, &trackTimeouts, Client, segment(ack, 1, 1, 0))
		early := now + trackTimeouts.Established - r.Deadline
		if early >= slack || r.Deadline != before && r.Deadline-before < slack {
			t.Fatalf("at %d: deadline went from %d to %d, %d early", now, before, r.Deadline, early)
		}
	}
}

func TestReopens(t *testing.T) {
	over := map[State]bool{Closing: true, ResetServer: true}
	for s := Fresh; s < states; s++ {
		for _, snipPort := range []uint16{0, 5000} {
			r := Record{State: s, SNIPPort: snipPort}
			if got := r.Reopens(syn); got != over[s] {
				t.Errorf("%v, SNIP port %d: SYN reopens: %v, want %v", s, snipPort, got, over[s])
			}
			for _, flags := range []uint8{ack, synAck, fin, rst} {
				if r.Reopens(flags) {
					t.Errorf("%v: flags %#x reopen", s, flags)
				}
			}
		}
	}
}

// TestForgeriesAreTakenBack asserts that whatever single FIN or RST somebody
// injects into an established connection, 16 MiB away from where it is, the
// next segment of the side in whose name it came restores it.
func TestForgeriesAreTakenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.SampledFrom([]Side{Client, Server}).Draw(t, "side")
		seq := rapid.Uint32().Draw(t, "sequence")
		away := rapid.Uint32Range(inFlight+100, 1<<32-1-100).Draw(t, "away")
		flags := rapid.SampledFrom([]uint8{packet.TCPFin, fin, rst, rst | ack}).Draw(t, "flags")
		r := Record{Proto: packet.ProtoTCP, State: Established, SNIPPort: 5000}
		r.Track(0, &trackTimeouts, side, segment(flags, seq+away, 0, rapid.IntRange(0, 99).Draw(t, "payload")))
		if r.Deadline > trackTimeouts.Established {
			t.Fatalf("the forgery left %d ticks", r.Deadline)
		}
		r.Track(0, &trackTimeouts, side, segment(ack, seq, 0, rapid.IntRange(0, 99).Draw(t, "payload")))
		if r.State != Established || r.Deadline != trackTimeouts.Established {
			t.Fatalf("not restored: %v, %d ticks", r.State, r.Deadline)
		}
	})
}

// FuzzTrack feeds any segments to a flow: it must stay within the states that
// packets can lead to, and within the longest timeout.
func FuzzTrack(f *testing.F) {
	f.Add(uint8(0), segment(syn, 1, 1, 0), segment(synAck, 1, 1, 0))
	f.Fuzz(func(t *testing.T, mode uint8, a, b []byte) {
		r := Record{Proto: packet.ProtoTCP, State: Fresh, SNIPPort: uint16(mode & 1)}
		for i, l4 := range [][]byte{a, b, a, b} {
			if len(l4) < 20 || packet.TCP(l4).HeaderLen() < 20 || len(l4) < packet.TCP(l4).HeaderLen() {
				return // Parse lets no such segment through
			}
			from := Side(i) & 1 & Side(mode)
			r.Track(0, &trackTimeouts, from, l4)
			if r.State != Fresh && r.State < SynSent || r.State >= Resting || r.Deadline > trackTimeouts.Established {
				t.Fatalf("%v, %d ticks left", r.State, r.Deadline)
			}
		}
	})
}

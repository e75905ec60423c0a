package traffic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"appliance/internal/lab/origin"
)

// UDPConfig describes datagram load.
type UDPConfig struct {
	Dial   Dial
	Target netip.AddrPort // an echo service

	Flows   int     // sockets, each with a datagram under way at a time
	PerFlow int     // datagrams after which a flow takes a new socket; 0 never
	Rate    float64 // datagrams a second over all flows; 0 without a pause
	Size    int     // bytes of payload, at least 16: default 64
	MaxSize int     // if larger: each datagram has a size between the two, small ones as often as large ones

	Timeout time.Duration // after which an answer counts as lost; default 1 s

	Failed func(*Failure) // told of each failure, from several goroutines; may be nil
}

// UDP drives datagrams to an echo service. An exchange is one datagram and its
// answer; Lost among the failures counts those without one.
type UDP struct {
	tally
	cfg UDPConfig
}

const (
	idLen      = 16             // hex digits that begin every payload: whose answer it is
	udpTimeout = time.Second    // UDP has no retransmission: what is a second late is lost
	maxAnswer  = 64<<10 + 1<<10 // longest payload behind the longest name
)

// maxNarrow is how often a path may turn out to take less than was sent: once a
// hop that is narrower than those before it.
const maxNarrow = 3

// NewUDP returns a driver; Run makes it drive.
func NewUDP(cfg UDPConfig) *UDP {
	if cfg.Size == 0 {
		cfg.Size = 64
	}
	cfg.Size = max(cfg.Size, idLen)
	cfg.MaxSize = max(cfg.MaxSize, cfg.Size)
	if cfg.Timeout == 0 {
		cfg.Timeout = udpTimeout
	}
	return &UDP{cfg: cfg, tally: tally{failed: cfg.Failed}}
}

// Run drives until ctx ends. It may be called once.
func (u *UDP) Run(ctx context.Context) {
	crew(ctx, u.cfg.Flows, interval(u.cfg.Flows, u.cfg.Rate), u.keeper)
}

// A flow is one socket.
type flow struct {
	net.Conn
	sent    int
	room    []byte
	payload []byte // in room
	answer  []byte
}

// keeper returns the work of one flow.
func (u *UDP) keeper() (work, end func()) { return keep(u.connect, u.exchange) }

// connect opens a socket, or counts the failure of the datagram that it was
// meant for.
func (u *UDP) connect() (*flow, bool) {
	conn, err := open(u.cfg.Dial, "udp", u.cfg.Target, u.cfg.Timeout)
	if err != nil {
		u.fail(connectFailure(err), false)
		return nil, false
	}
	u.opened()
	return &flow{Conn: conn, room: make([]byte, u.cfg.MaxSize), answer: make([]byte, maxAnswer)}, true
}

// exchange sends a datagram, waits for its answer, counts how it went, and
// reports whether the flow goes on.
func (u *UDP) exchange(f *flow) bool {
	began := time.Now()
	backend, err := u.ask(f)
	for hops := 0; errors.Is(err, unix.EMSGSIZE) && hops < maxNarrow; hops++ {
		backend, err = u.ask(f) // the kernel has learnt the path's MTU now (RFC 1191)
	}
	if err != nil {
		u.fail(exchangeFailure(err, false), false)
	} else {
		u.ok(backend, time.Since(began))
	}
	return u.cfg.PerFlow == 0 || f.sent < u.cfg.PerFlow
}

// ask sends a datagram and returns the backend that answered it.
func (u *UDP) ask(f *flow) (string, error) {
	if err := f.SetDeadline(time.Now().Add(u.cfg.Timeout)); err != nil {
		return "", err
	}
	f.payload = f.room[:u.size()]
	f.fill()
	f.sent++
	if _, err := f.Write(f.payload); err != nil {
		return "", err
	}
	for {
		n, err := f.Read(f.answer)
		if timedOut(err) {
			return "", &Failure{Lost, err}
		}
		if err != nil {
			return "", err
		}
		backend, echoed, _ := bytes.Cut(f.answer[:n], []byte(" "))
		switch {
		case bytes.Equal(echoed, f.payload):
			return string(backend), nil
		case len(echoed) < idLen || bytes.Equal(echoed[:idLen], f.payload[:idLen]):
			return "", &Failure{WrongContent, fmt.Errorf("%d bytes from %q differ from those sent", len(echoed), backend)}
		}
		// The answer to an earlier datagram, counted as lost then.
	}
}

// size draws a datagram's size, so that each power of two is as likely as any
// other.
func (u *UDP) size() int {
	least, most := float64(u.cfg.Size), float64(u.cfg.MaxSize)
	return int(math.Round(least * math.Pow(most/least, rand.Float64())))
}

// fill makes a payload that no other datagram has.
func (f *flow) fill() {
	id := rand.Uint64()
	origin.Stream(id).Read(f.payload) // never fails
	copy(f.payload, fmt.Sprintf("%0*x", idLen, id))
}

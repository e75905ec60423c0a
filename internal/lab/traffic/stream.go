package traffic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"appliance/internal/lab/origin"
)

// StreamsConfig describes long-lived TCP connections.
type StreamsConfig struct {
	Dial   Dial
	Target netip.AddrPort // an echo service, or with Download a stream service

	Streams  int     // connections
	Download bool    // receive only, instead of sending and receiving back
	Chunk    int     // bytes checked at a time, at most 64 KiB; default 4 KiB
	Rate     float64 // chunks a second over all streams; 0 without a pause

	Timeout time.Duration // of connecting, and of each chunk; default DefaultTimeout

	Failed func(*Failure) // told of each failure, from several goroutines; may be nil
}

// Streams drives long-lived TCP connections and compares every byte. An
// exchange is a chunk. A stream that breaks is counted, and a new one takes its
// place at the next chunk.
type Streams struct {
	tally
	cfg StreamsConfig
}

// maxChunk keeps an echoed chunk within the socket buffers on its way: what
// doesn't fit would wait for a reader that is still writing.
const maxChunk = 64 << 10

// NewStreams returns a driver; Run makes it drive.
func NewStreams(cfg StreamsConfig) *Streams {
	if cfg.Chunk == 0 {
		cfg.Chunk = 4 << 10
	}
	cfg.Chunk = min(cfg.Chunk, maxChunk)
	cfg.Timeout = orDefault(cfg.Timeout)
	return &Streams{cfg: cfg, tally: tally{failed: cfg.Failed}}
}

// Run drives until ctx ends. It may be called once.
func (s *Streams) Run(ctx context.Context) {
	crew(ctx, s.cfg.Streams, interval(s.cfg.Streams, s.cfg.Rate), s.keeper)
}

// A stream is one connection and the bytes that must come next.
type stream struct {
	net.Conn
	bytes     *rand.ChaCha8
	due, came []byte // one chunk each
}

// keeper returns the work of one stream.
func (s *Streams) keeper() (work, end func()) { return keep(s.connect, s.exchange) }

// connect opens a stream, or counts the failure of the chunk that it was meant
// for.
func (s *Streams) connect() (*stream, bool) {
	conn, err := open(s.cfg.Dial, "tcp", s.cfg.Target, s.cfg.Timeout)
	if err != nil {
		s.fail(connectFailure(err), false)
		return nil, false
	}
	s.opened()
	number := rand.Uint64()
	if s.cfg.Download {
		if _, err := fmt.Fprintf(conn, "%d\n", number); err != nil {
			conn.Close()
			s.fail(exchangeFailure(err, false), true)
			return nil, false
		}
	}
	return &stream{
		Conn:  conn,
		bytes: origin.Stream(number),
		due:   make([]byte, s.cfg.Chunk),
		came:  make([]byte, s.cfg.Chunk),
	}, true
}

// exchange moves one chunk, counts how it went, and reports whether the stream
// goes on.
func (s *Streams) exchange(c *stream) bool {
	began := time.Now()
	if err := s.chunk(c); err != nil {
		s.fail(exchangeFailure(err, false), true)
		return false
	}
	s.ok("", time.Since(began))
	return true
}

// chunk moves the next chunk and compares it.
func (s *Streams) chunk(c *stream) error {
	if err := c.SetDeadline(time.Now().Add(s.cfg.Timeout)); err != nil {
		return err
	}
	c.bytes.Read(c.due) // never fails
	if !s.cfg.Download {
		if _, err := c.Write(c.due); err != nil {
			return err
		}
	}
	n, err := io.ReadFull(c, c.came)
	if !bytes.Equal(c.came[:n], c.due[:n]) {
		return &Failure{WrongContent, errors.New("bytes differ from those sent")}
	}
	if err != nil {
		return exchangeFailure(err, n > 0)
	}
	return nil
}

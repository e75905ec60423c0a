package origin

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Config says who a Server is and where it listens.
type Config struct {
	Name  string       // without spaces: it stands in front of content
	Addrs []netip.Addr // one set of listeners each, so that answers leave from the address that was asked

	Listen       func(network, address string) (net.Listener, error)   // default net.Listen
	ListenPacket func(network, address string) (net.PacketConn, error) // default net.ListenPacket
}

// A Server runs all services of one backend. Its methods may be called from any
// goroutine.
type Server struct {
	cfg Config

	requests, connections, datagrams atomic.Uint64
	unhealthy                        atomic.Bool

	mu      sync.Mutex // guards running, and so orders Start and Stop
	running *run       // nil while stopped
}

// Counters count since New, over every Start and Stop.
type Counters struct {
	Requests    uint64 // HTTP requests answered, without health checks
	Connections uint64 // TCP connections accepted, all services, health checks too
	Datagrams   uint64 // UDP datagrams answered
}

// New returns a stopped Server.
func New(cfg Config) *Server {
	if cfg.Listen == nil {
		cfg.Listen = net.Listen
	}
	if cfg.ListenPacket == nil {
		cfg.ListenPacket = net.ListenPacket
	}
	return &Server{cfg: cfg}
}

// Counters returns the counters so far.
func (s *Server) Counters() Counters {
	return Counters{
		Requests:    s.requests.Load(),
		Connections: s.connections.Load(),
		Datagrams:   s.datagrams.Load(),
	}
}

// SetHealthy decides what /health answers: 200 or 503. A new Server is healthy.
func (s *Server) SetHealthy(healthy bool) { s.unhealthy.Store(!healthy) }

// Start opens every listener and serves. It does nothing while the server
// runs. When one listener fails, none stays open.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return nil
	}
	r := &run{open: make(map[io.Closer]struct{})}
	for _, addr := range s.cfg.Addrs {
		if err := s.listen(r, addr); err != nil {
			r.stop()
			return fmt.Errorf("origin: start %s: %w", s.cfg.Name, err)
		}
	}
	s.running = r
	return nil
}

// Stop closes every listener and every connection, and waits until the last
// goroutine is gone. Ports refuse from then on. It does nothing while stopped.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		s.running.stop()
		s.running = nil
	}
}

// listen opens the listeners of one address.
func (s *Server) listen(r *run, addr netip.Addr) error {
	for _, service := range []struct {
		port  uint16
		serve func(*run, net.Listener)
	}{
		{HTTPPort, s.serveHTTP},
		{EchoPort, s.accept(echo)},
		{StreamPort, s.accept(stream)},
	} {
		l, err := s.cfg.Listen("tcp", netip.AddrPortFrom(addr, service.port).String())
		if err != nil {
			return err
		}
		r.track(l)
		r.wait.Go(func() { service.serve(r, l) })
	}
	conn, err := s.cfg.ListenPacket("udp", netip.AddrPortFrom(addr, EchoPort).String())
	if err != nil {
		return err
	}
	r.track(conn)
	r.wait.Go(func() { s.serveUDP(conn) })
	return nil
}

// A run is what is open between a Start and a Stop.
type run struct {
	wait sync.WaitGroup

	mu      sync.Mutex
	open    map[io.Closer]struct{}
	stopped bool
}

// track closes c when the run stops: at once if it has.
func (r *run) track(c io.Closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		c.Close()
		return
	}
	r.open[c] = struct{}{}
}

// done closes c now.
func (r *run) done(c io.Closer) {
	r.mu.Lock()
	delete(r.open, c)
	r.mu.Unlock()
	c.Close()
}

func (r *run) stop() {
	r.mu.Lock()
	r.stopped = true
	for c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.wait.Wait()
}

package origin

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// acceptPause is the pause after a failed accept(2). Most failures concern one
// client that has gone away (ECONNABORTED); a full file table lasts, and must
// not make the loop spin.
const acceptPause = 10 * time.Millisecond

// serveHTTP answers HTTP requests until the listener closes.
func (s *Server) serveHTTP(r *run, l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.serveBody)
	mux.HandleFunc("GET /health", s.serveHealth)
	server := &http.Server{
		Handler: mux,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.connections.Add(1)
			}
		},
	}
	r.track(server) // Stop closes its connections with it
	server.Serve(l)
}

// serveBody answers GET /?size=N&token=T. Without size the body is one line.
func (s *Server) serveBody(w http.ResponseWriter, req *http.Request) {
	query := req.URL.Query()
	token := query.Get("token")
	size := len(s.cfg.Name) + len(token) + 2
	if text := query.Get("size"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil || size < 0 || size > MaxBody {
			http.Error(w, "size must be 0 to "+strconv.Itoa(MaxBody), http.StatusBadRequest)
			return
		}
	}
	s.requests.Add(1)
	w.Header().Set(NameHeader, s.cfg.Name)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.Write(Body(s.cfg.Name, token, size))
}

func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set(NameHeader, s.cfg.Name)
	if s.unhealthy.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// accept returns a server that serves each TCP connection by serve.
func (s *Server) accept(serve func(net.Conn)) func(*run, net.Listener) {
	return func(r *run, l net.Listener) {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(acceptPause)
				continue
			}
			s.connections.Add(1)
			r.track(conn)
			r.wait.Go(func() {
				defer r.done(conn)
				serve(conn)
			})
		}
	}
}

// echo sends everything back, until the client's half of the connection ends.
func echo(conn net.Conn) {
	io.Copy(conn, conn)
}

// stream sends the stream whose number the client's first line holds.
func stream(conn net.Conn) {
	line, err := bufio.NewReader(io.LimitReader(conn, 32)).ReadString('\n')
	if err != nil {
		return
	}
	number, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return
	}
	io.Copy(conn, Stream(number))
}

// serveUDP answers datagrams until the socket closes.
func (s *Server) serveUDP(conn net.PacketConn) {
	name := len(s.cfg.Name) + 1
	buf := make([]byte, name+64<<10)
	copy(buf, s.cfg.Name+" ")
	for {
		n, client, err := conn.ReadFrom(buf[name:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error for an earlier answer
		}
		s.datagrams.Add(1)
		conn.WriteTo(buf[:name+n], client)
	}
}

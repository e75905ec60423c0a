package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"appliance/internal/node"
)

// A Source is what the server speaks for: a running node.
type Source interface {
	Ready() error
	Status(ctx context.Context) (node.Status, error)
	Where(ctx context.Context, flow node.Flow) (node.Where, error)
	Denied() []node.Denial
	Deny(prefix netip.Prefix, duration time.Duration) error // 0: without end
	Allow(prefix netip.Prefix) error
}

// Config describes a Server.
type Config struct {
	Source  Source
	Reload  func(ctx context.Context) error // reads the configuration again
	Metrics prometheus.Gatherer
	Log     *slog.Logger
}

// A Server answers on listeners until it is closed.
type Server struct {
	cfg  Config
	http http.Server
}

// NewServer returns a server that is ready to Serve.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", s.ready)
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /where", s.where)
	mux.HandleFunc("POST /reload", s.reload)
	mux.HandleFunc("GET /deny", s.denied)
	mux.HandleFunc("POST /deny", s.deny)
	mux.HandleFunc("DELETE /deny", s.allow)
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{}))
	s.http = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
	}
	return s
}

// Serve answers on l until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: serve: %w", err)
	}
	return nil
}

// Close ends the server after the answers under way, which it gives a second.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("api: close: %w", err), s.http.Close())
	}
	return nil
}

// Listen opens the Unix socket at path, making its directory if need be. A
// socket that a dead process left behind is replaced; one that answers means
// that another appliance runs, which is an error.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("api: %w", err), l.Close())
	}
	return l, nil
}

// removeStale removes what is at path if it is a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("api: %s exists and is no socket: give another path as [api] socket, or remove it", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
	}
	switch {
	case err == nil, errors.Is(err, syscall.EAGAIN): // a full backlog: it hangs, but it lives
		return fmt.Errorf("api: %s is in use: another appliance runs; stop it, or give this one another [api] socket", path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("api: find out who listens: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("api: remove stale socket: %w", err)
	}
	return nil
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.cfg.Source.Ready(); err != nil {
		s.fail(w, http.StatusServiceUnavailable, err)
		return
	}
	s.answer(w, map[string]bool{"ready": true})
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	status, err := s.cfg.Source.Status(r.Context())
	if err != nil {
		s.fail(w, http.StatusInternalServerError, err)
		return
	}
	s.answer(w, status)
}

func (s *Server) where(w http.ResponseWriter, r *http.Request) {
	flow, err := ParseFlow(r.FormValue("protocol"), r.FormValue("from"), r.FormValue("to"))
	if err != nil {
		s.fail(w, http.StatusBadRequest, err)
		return
	}
	where, err := s.cfg.Source.Where(r.Context(), flow)
	if err != nil {
		s.fail(w, http.StatusInternalServerError, err)
		return
	}
	s.answer(w, where)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if err := s.cfg.Reload(r.Context()); err != nil {
		s.fail(w, http.StatusUnprocessableEntity, err)
		return
	}
	s.answer(w, map[string]bool{"reloaded": true})
}

func (s *Server) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		s.cfg.Log.Debug("api: answer not delivered", "error", err)
	}
}

func (s *Server) fail(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if e := json.NewEncoder(w).Encode(map[string]string{"error": err.Error()}); e != nil {
		s.cfg.Log.Debug("api: answer not delivered", "error", e)
	}
}

// ParseFlow reads a flow as operators write it: "tcp" or "udp", and two ends as
// ADDRESS:PORT. The error says which of them is wrong.
func ParseFlow(protocol, from, to string) (node.Flow, error) {
	flow := node.Flow{Protocol: protocol}
	if protocol != "tcp" && protocol != "udp" {
		return flow, fmt.Errorf("protocol %q is neither tcp nor udp", protocol)
	}
	var err error
	if flow.From, err = netip.ParseAddrPort(from); err != nil {
		return flow, fmt.Errorf("from %q is not ADDRESS:PORT", from)
	}
	if flow.To, err = netip.ParseAddrPort(to); err != nil {
		return flow, fmt.Errorf("to %q is not ADDRESS:PORT", to)
	}
	if flow.From.Addr().Is4() != flow.To.Addr().Is4() {
		return flow, fmt.Errorf("%s and %s are of different families", from, to)
	}
	return flow, nil
}

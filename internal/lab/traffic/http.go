package traffic

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"appliance/internal/lab/origin"
)

// HTTPConfig describes the load of an HTTP driver. It may have a part on new
// connections, a part on kept-alive ones, or both.
type HTTPConfig struct {
	Dial   Dial
	Target netip.AddrPort

	FreshRate   float64 // requests a second, each on a connection of its own
	MaxInFlight int     // bound on those under way; default: what FreshRate makes within both timeouts

	Kept     int     // kept-alive connections
	KeptRate float64 // requests a second over all of them; 0 without a pause

	Size           int           // bytes of each body
	ConnectTimeout time.Duration // default DefaultTimeout
	ReadTimeout    time.Duration // from the request to the last byte; default DefaultTimeout

	Failed func(*Failure) // told of each failure, from several goroutines; may be nil
}

// HTTP drives HTTP requests. See the package for what it promises.
type HTTP struct {
	tally
	cfg   HTTPConfig
	token atomic.Uint64
}

// NewHTTP returns a driver; Run makes it drive.
func NewHTTP(cfg HTTPConfig) *HTTP {
	cfg.ConnectTimeout = orDefault(cfg.ConnectTimeout)
	cfg.ReadTimeout = orDefault(cfg.ReadTimeout)
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = 1 + int(cfg.FreshRate*(cfg.ConnectTimeout+cfg.ReadTimeout).Seconds())
	}
	return &HTTP{cfg: cfg, tally: tally{failed: cfg.Failed}}
}

// Run drives until ctx ends. It may be called once.
func (h *HTTP) Run(ctx context.Context) {
	var wait sync.WaitGroup
	if h.cfg.FreshRate > 0 {
		wait.Go(func() { h.runFresh(ctx) })
	}
	wait.Go(func() {
		crew(ctx, h.cfg.Kept, interval(h.cfg.Kept, h.cfg.KeptRate), h.keeper)
	})
	wait.Wait()
}

// runFresh opens connections by the clock.
func (h *HTTP) runFresh(ctx context.Context) {
	room := make(chan struct{}, h.cfg.MaxInFlight)
	var wait sync.WaitGroup
	every(ctx, 0, interval(1, h.cfg.FreshRate), func() {
		select {
		case room <- struct{}{}:
		default:
			h.fail(&Failure{Overload, fmt.Errorf("%d requests under way", h.cfg.MaxInFlight)}, false)
			return
		}
		wait.Go(func() {
			defer func() { <-room }()
			if c, ok := h.connect(); ok {
				h.exchange(c, true)
				c.Close()
			}
		})
	})
	wait.Wait()
}

// keeper returns the work of one kept-alive connection.
func (h *HTTP) keeper() (work, end func()) {
	return keep(h.connect, func(c *httpConn) bool { return h.exchange(c, false) })
}

// An httpConn is a connection with what is left over of its last read.
type httpConn struct {
	net.Conn
	in *bufio.Reader
}

// connect opens a connection, or counts the failure of the request that it was
// meant for.
func (h *HTTP) connect() (*httpConn, bool) {
	conn, err := open(h.cfg.Dial, "tcp", h.cfg.Target, h.cfg.ConnectTimeout)
	if err != nil {
		h.fail(connectFailure(err), false)
		return nil, false
	}
	h.opened()
	return &httpConn{Conn: conn, in: bufio.NewReader(conn)}, true
}

// exchange makes one request, counts how it went, and reports whether the
// connection is good for another.
func (h *HTTP) exchange(c *httpConn, last bool) bool {
	token := fmt.Sprintf("%016x", h.token.Add(1))
	began := time.Now()
	backend, err := h.request(c, token, last)
	if err != nil {
		h.fail(exchangeFailure(err, false), true)
		return false
	}
	h.ok(backend, time.Since(began))
	return true
}

// request sends a request and returns the backend that answered it right.
func (h *HTTP) request(c *httpConn, token string, last bool) (string, error) {
	if err := c.SetDeadline(time.Now().Add(h.cfg.ReadTimeout)); err != nil {
		return "", err
	}
	connection := "keep-alive"
	if last {
		connection = "close"
	}
	_, err := fmt.Fprintf(c, "GET /?size=%d&token=%s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n",
		h.cfg.Size, token, h.cfg.Target, connection)
	if err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", &Failure{BadStatus, fmt.Errorf("status %s", resp.Status)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(h.cfg.Size)+1))
	if err != nil {
		return "", exchangeFailure(err, true)
	}
	backend := resp.Header.Get(origin.NameHeader)
	if !bytes.Equal(body, origin.Body(backend, token, h.cfg.Size)) {
		return "", &Failure{WrongContent, fmt.Errorf("%d bytes from %q are not the %d due for %s", len(body), backend, h.cfg.Size, token)}
	}
	return backend, nil
}

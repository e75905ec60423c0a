package health

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Bounds on what an HTTP check reads of an answer. A health page is short; a
// backend that sends more is not punished, only not read to the end.
const (
	maxHeader = 16 << 10
	maxBody   = 16 << 10
)

// newTransport returns a Transport whose every request is a new connection.
func newTransport(cfg Config) *http.Transport {
	return &http.Transport{
		DialContext:            cfg.Dial,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// probe runs one check of t. It returns nil on success; on failure, what was
// wrong. ctx ends it.
func (c *Checker) probe(ctx context.Context, t Target) error {
	if t.Check.Type == HTTP {
		return c.probeHTTP(ctx, t)
	}
	conn, err := c.cfg.Dial(ctx, "tcp", t.Addr.String())
	if err != nil {
		return fmt.Errorf("health: connect: %w", err)
	}
	conn.Close() // nothing was sent, so nothing can fail that matters
	return nil
}

func (c *Checker) probeHTTP(ctx context.Context, t Target) error {
	location, err := url.ParseRequestURI(t.Check.Path)
	if err != nil {
		return fmt.Errorf("health: get: %w", err)
	}
	location.Scheme, location.Host = "http", t.Addr.String()
	request := &http.Request{
		Method: http.MethodGet,
		URL:    location,
		Host:   t.Check.Host,
		Header: http.Header{"User-Agent": {"appliance-health-check"}},
	}
	// RoundTrip, unlike a Client, leaves redirects alone.
	response, err := c.transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("health: get: %w", err)
	}
	defer response.Body.Close()
	// An answer that stops half way still was one: the status decides.
	_, _ = io.CopyN(io.Discard, response.Body, maxBody)
	if s := response.StatusCode; s < t.Check.StatusMin || s > t.Check.StatusMax {
		return fmt.Errorf("health: get: status %d, want %d to %d", s, t.Check.StatusMin, t.Check.StatusMax)
	}
	return nil
}

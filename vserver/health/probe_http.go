package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Bounds on what an HTTP check reads of an answer. A health page is short; a
// backend that sends more is not punished, only not read to the end.
const (
	maxHeader = 16 << 10
	maxBody   = 16 << 10
)

func (c Check) validateHTTP() error {
	if _, err := url.ParseRequestURI(c.Path); err != nil || !strings.HasPrefix(c.Path, "/") {
		return fmt.Errorf("%w: path %q, want an absolute path like /health, escaped as in a URL", ErrBadTarget, c.Path)
	}
	if strings.ContainsFunc(c.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }) {
		return fmt.Errorf("%w: host %q, want a name or an address, with or without a port", ErrBadTarget, c.Host)
	}
	if c.StatusMin < 200 || c.StatusMax > 599 || c.StatusMin > c.StatusMax {
		return fmt.Errorf("%w: status %d to %d, want a range within 200 to 599", ErrBadTarget, c.StatusMin, c.StatusMax)
	}
	return c.validateExpect()
}

// web returns what checks a web server over a new connection, inside TLS for
// HTTPS.
func (s subject) web(pool *x509.CertPool) func(context.Context, net.Conn) error {
	expect := s.check.expectation()
	if s.check.Type == HTTP {
		return func(ctx context.Context, conn net.Conn) error { return s.get(ctx, conn, &expect) }
	}
	cfg := s.check.clientTLS(s.addr, pool)
	return func(ctx context.Context, conn net.Conn) error {
		secure := tls.Client(conn, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("health: TLS: %w", tlsProblem(err))
		}
		return s.get(ctx, secure, &expect)
	}
}

// get makes one request over conn. The Transport is for this request alone: one
// that dials for itself goes on dialling when the request has been given up.
func (s subject) get(ctx context.Context, conn net.Conn, expect *expectation) error {
	location, err := url.ParseRequestURI(s.check.Path)
	if err != nil {
		return fmt.Errorf("health: get: %w", err)
	}
	location.Scheme, location.Host = "http", s.addr.String()
	request := &http.Request{
		Method: http.MethodGet,
		URL:    location,
		Host:   s.check.Host,
		Header: http.Header{"User-Agent": {"appliance-health-check"}},
	}
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
	// RoundTrip, unlike a Client, leaves redirects alone.
	response, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("health: get: %w", err)
	}
	defer response.Body.Close()
	if expect.none() {
		// An answer that stops half way still was one: the status decides.
		_, _ = io.CopyN(io.Discard, response.Body, maxBody)
	}
	if got := response.StatusCode; got < s.check.StatusMin || got > s.check.StatusMax {
		return fmt.Errorf("health: get: status %d, want %d to %d", got, s.check.StatusMin, s.check.StatusMax)
	}
	if expect.none() {
		return nil
	}
	if err := expect.read(response.Body, maxBody); err != nil {
		return fmt.Errorf("health: get: body: %w", err)
	}
	return nil
}

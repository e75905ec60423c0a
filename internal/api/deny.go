package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"appliance/engine/xdp"
	"appliance/internal/node"
)

// The prefixes that VIPs get nothing from are one resource: GET lists them, POST
// adds one, DELETE removes one.

func (s *Server) denied(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, s.cfg.Source.Denied())
}

func (s *Server) deny(w http.ResponseWriter, r *http.Request) {
	prefix, err := xdp.ParseDenied(r.FormValue("prefix"))
	if err != nil {
		s.fail(w, http.StatusBadRequest, err)
		return
	}
	duration, err := parseFor(r.FormValue("for"))
	if err != nil {
		s.fail(w, http.StatusBadRequest, err)
		return
	}
	if err := s.cfg.Source.Deny(prefix, duration); err != nil {
		s.fail(w, http.StatusConflict, err)
		return
	}
	s.answer(w, map[string]bool{"denied": true})
}

func (s *Server) allow(w http.ResponseWriter, r *http.Request) {
	prefix, err := xdp.ParseDenied(r.FormValue("prefix"))
	if err != nil {
		s.fail(w, http.StatusBadRequest, err)
		return
	}
	if err := s.cfg.Source.Allow(prefix); err != nil {
		s.fail(w, http.StatusConflict, err)
		return
	}
	s.answer(w, map[string]bool{"allowed": true})
}

// parseFor reads for how long to deny; nothing is 0, for ever.
func parseFor(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	duration, err := time.ParseDuration(text)
	if err != nil || duration <= 0 {
		return 0, fmt.Errorf("for %q: give a duration above zero, like 10m or 1h30m, or leave it out", text)
	}
	return duration, nil
}

// Denied asks for the prefixes that VIPs get nothing from.
func (c *Client) Denied(ctx context.Context) ([]node.Denial, error) {
	var list []node.Denial
	err := c.do(ctx, http.MethodGet, "/deny", nil, &list)
	return list, err
}

// Deny has VIPs get nothing from a prefix, for so long; 0: until Allow, or the
// appliance's end.
func (c *Client) Deny(ctx context.Context, prefix netip.Prefix, duration time.Duration) error {
	query := url.Values{"prefix": {prefix.String()}}
	if duration != 0 {
		query.Set("for", duration.String())
	}
	return c.do(ctx, http.MethodPost, "/deny", query, nil)
}

// Allow ends what Deny did.
func (c *Client) Allow(ctx context.Context, prefix netip.Prefix) error {
	return c.do(ctx, http.MethodDelete, "/deny", url.Values{"prefix": {prefix.String()}}, nil)
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"appliance/internal/node"
)

// maxAnswer bounds what the client reads of an answer, in bytes: 10,000
// virtual servers of 10 backends make about 30 MiB.
const maxAnswer = 256 << 20

// A Client asks a running appliance over its Unix socket.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client of the appliance that listens at socket.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
		Timeout:   30 * time.Second,
	}}
}

// quickly bounds how long a question may take that a node answers within a second
// or two, engines that are stuck among it.
const quickly = 5 * time.Second

// Ready returns nil once the appliance moves packets.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/ready", nil, nil)
}

// Status asks for the node's status.
func (c *Client) Status(ctx context.Context) (node.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, quickly)
	defer cancel()
	var s node.Status
	err := c.do(ctx, http.MethodGet, "/status", nil, &s)
	return s, err
}

// Where asks who owns a flow.
func (c *Client) Where(ctx context.Context, protocol, from, to string) (node.Where, error) {
	ctx, cancel := context.WithTimeout(ctx, quickly)
	defer cancel()
	var w node.Where
	query := url.Values{"protocol": {protocol}, "from": {from}, "to": {to}}
	err := c.do(ctx, http.MethodGet, "/where", query, &w)
	return w, err
}

// A Refusal says what is wrong with a configuration that an appliance was asked
// to go over to: a problem a line, as in config.Error.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Reload makes the appliance read its configuration again. The error is a
// Refusal if that says what the appliance can't do.
func (c *Client) Reload(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/reload", nil, nil)
}

// do makes one request and decodes its answer into into, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, into any) error {
	target := url.URL{Scheme: "http", Host: "appliance", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("api: %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		switch {
		case json.Unmarshal(body, &e) != nil, e.Error == "":
			return fmt.Errorf("api: %s: %s", path, resp.Status)
		case resp.StatusCode == http.StatusUnprocessableEntity:
			return Refusal(e.Error)
		}
		return errors.New(e.Error)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("api: %s: %w", path, err)
	}
	return nil
}

// explain says what to do about the usual ways not to reach an appliance.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no appliance answers at %s: is it running, and is this its [api] socket? (--socket)", c.socket)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return fmt.Errorf("the appliance at %s runs but doesn't answer: its log may say why: %w", c.socket, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("may not open %s: run as root", c.socket)
	}
	return fmt.Errorf("api: %w", err)
}

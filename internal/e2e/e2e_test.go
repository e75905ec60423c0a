package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/node"
	"appliance/internal/privtest"
)

// patience is how long a test waits for what takes milliseconds on an idle
// machine.
const patience = 20 * time.Second

// build makes a lab and starts its node with opts. The test ends both, and
// fails if the appliance doesn't end cleanly.
func build(t *testing.T, cfg lab.Config, opts lab.NodeOptions) (*lab.Lab, *lab.Process) {
	t.Helper()
	l := buildLab(t, cfg)
	return l, start(t, l, opts)
}

func buildLab(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	privtest.NeedNetNS(t)
	l, err := lab.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func start(t *testing.T, l *lab.Lab, opts lab.NodeOptions) *lab.Process {
	t.Helper()
	binary, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	opts.Binary = binary
	p, err := l.Nodes[0].Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-p.Exited(): // the test has ended it
		default:
			if s, err := p.Status(context.Background()); t.Failed() && err == nil {
				t.Logf("interfaces %+v\nengines %+v\nframes %+v", s.Interfaces, s.Engines, s.Frames)
			}
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("log of the node:\n%s", p.Log())
		}
	})
	return p
}

// status asks the node, which must answer.
func status(t *testing.T, p *lab.Process) node.Status {
	t.Helper()
	s, err := p.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// get makes one HTTP request over a connection of its own and returns the name
// of the backend that answered. The whole body is checked.
func get(ctx context.Context, c *lab.Client, vip netip.Addr, size int) (string, error) {
	tr := &http.Transport{DialContext: c.DialContext, DisableKeepAlives: true}
	client := http.Client{Transport: tr, Timeout: 5 * time.Second}
	url := fmt.Sprintf("http://%s/?size=%d&token=e2e", netip.AddrPortFrom(vip, origin.HTTPPort), size)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	name := resp.Header.Get(origin.NameHeader)
	if string(body) != string(origin.Body(name, "e2e", size)) {
		return "", fmt.Errorf("%d bytes from %q are not the body that was asked for", len(body), name)
	}
	return name, nil
}

// ask sends one datagram through c and returns which backend answered. What the
// path turns out too narrow for, as a tunnel's is at first, it sends again: the
// kernel has learnt the path's MTU then.
func ask(c net.Conn, payload string) (name string, err error) {
	for range 3 {
		if name, err = askOnce(c, payload); !errors.Is(err, unix.EMSGSIZE) {
			break
		}
	}
	return name, err
}

func askOnce(c net.Conn, payload string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte(payload)); err != nil {
		return "", err
	}
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if err != nil {
		return "", err
	}
	name, echo, _ := strings.Cut(string(buf[:n]), " ")
	if echo != payload {
		return "", fmt.Errorf("%d bytes went, %d others came back", len(payload), len(echo))
	}
	return name, nil
}

// dial opens a connection from the first client to port of a VIP.
func dial(t *testing.T, l *lab.Lab, network string, vip netip.Addr, port int) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := l.Clients[0].DialContext(ctx, network, netip.AddrPortFrom(vip, uint16(port)).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sum adds up the drops of all reasons but those that the kernel's own timing
// explains: the first packet to a neighbour that isn't resolved yet.
func unexplained(s node.Status) (n uint64) {
	for why, count := range s.Totals.Dropped {
		if why != "no_neighbour" {
			n += count
		}
	}
	return n
}

// accounted fails the test unless the frame ledger adds up and every packet is
// accounted for.
func accounted(t *testing.T, s node.Status) {
	t.Helper()
	f := s.Frames
	if f.Free+f.Fill+f.Transmit+f.Handoff+f.Held != f.Total {
		t.Errorf("frames don't add up: %+v", f)
	}
	for _, e := range s.Engines {
		var dropped uint64
		for _, n := range e.Dropped {
			dropped += n
		}
		if in, out := e.RxPackets+e.TakenOver, e.TxPackets+e.HandedOff+dropped+e.Held; in != out {
			t.Errorf("engine %d: %d packets in, %d out: %+v", e.ID, in, out, e)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

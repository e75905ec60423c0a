package node

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"appliance/internal/privtest"
)

// Veths can't be programmed: the engines do it, and status and the log say so,
// unless hardware is required.
func TestSteering(t *testing.T) {
	for _, c := range []struct {
		choice  HardwareRSS
		engines int
		why     string
	}{
		{HardwareRSSAuto, 2, "the driver has no receive side scaling that can be programmed"},
		{HardwareRSSOff, 2, "off, as configured"},
		{HardwareRSSRequire, 1, "the only engine owns every packet"},
	} {
		t.Run(string(c.choice), func(t *testing.T) {
			cfg := steered(t, c.choice, c.engines)
			var log bytes.Buffer
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			before := look(t)
			n, err := Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			s, err := n.Status(t.Context())
			if err != nil {
				t.Error(err)
			}
			for _, i := range s.Interfaces {
				if i.RSS != "software" || i.RSSWhy != c.why {
					t.Errorf("%s: %s: %s", i.Name, i.RSS, i.RSSWhy)
				}
			}
			n.mu.Lock()
			got := n.ifaces[0].serving.owners()
			n.mu.Unlock()
			if want := []int{0, 1 % c.engines}; !slices.Equal(got, want) {
				t.Errorf("the queues are those of engines %v, want %v", got, want)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			gone(t, before)
			if said := strings.Count(log.String(), c.why); said != 2 { // once an interface
				t.Errorf("the log says it %d times:\n%s", said, log.String())
			}
		})
	}
}

func TestSteeringRequired(t *testing.T) {
	cfg := steered(t, HardwareRSSRequire, 2)
	before := look(t)
	n, err := Start(t.Context(), cfg)
	if err == nil {
		t.Fatal(errors.Join(errors.New("started"), n.Close()))
	}
	if want := `interface client0 can't be made to deliver packets to their engines: the driver has no receive side scaling that can be programmed: set hardware = "auto"`; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %q, want %q", err, want)
	}
	gone(t, before)
}

// steered is a node on links with two queues.
func steered(t *testing.T, choice HardwareRSS, engines int) Config {
	t.Helper()
	privtest.NetNS(t)
	privtest.Veth(t, clientLink, "router0", 2)
	privtest.Veth(t, serverLink, "fabric0", 2)
	address(t, clientLink, "10.1.1.2/30")
	address(t, serverLink, "10.2.1.1/16")
	cfg := network(t)
	cfg.Engine.Engines, cfg.HardwareRSS = engines, choice
	return cfg
}

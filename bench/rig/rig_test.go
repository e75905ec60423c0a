package rig_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"appliance/bench/gen"
	"appliance/bench/rig"
	"appliance/internal/privtest"
)

// newRig builds a rig for the test. Its namespaces must be gone afterwards.
func newRig(t *testing.T) *rig.Rig {
	t.Helper()
	privtest.NeedNetNS(t)
	r, err := rig.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir("/run/netns")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range left {
			if strings.HasPrefix(e.Name(), fmt.Sprintf("bn-%d-", os.Getpid())) {
				t.Errorf("namespace %s is left", e.Name())
			}
		}
	})
	return r
}

// generator returns a generator for the rig's client namespace.
func generator(t *testing.T, r *rig.Rig) *gen.Generator {
	t.Helper()
	var g *gen.Generator
	err := r.Client.Do(func() error {
		egress, err := rig.Index(rig.GenIf)
		if err != nil {
			return err
		}
		g, err = gen.New(gen.Config{
			Egress: egress, SrcMAC: rig.GenMAC, DstMAC: rig.CliMAC,
			Client: rig.FirstClient, Clients: 64, Flows: 1000,
			Dst: rig.VIP, DstPort: 9000, Proto: gen.UDP, Frame: gen.MinFrame,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// TestGeneratorReachesSink sends from gen0 to a sink on cli0: all that was sent
// arrives or is counted, and a wanted rate is kept.
func TestGeneratorReachesSink(t *testing.T) {
	for _, rate := range []float64{0, 20_000, 200_000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			r := newRig(t)
			sink, err := gen.NewSink(9000)
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			err = r.Node.Do(func() error {
				cli, err := rig.Index(rig.CliIf)
				if err != nil {
					return err
				}
				return sink.Attach(cli)
			})
			if err != nil {
				t.Fatal(err)
			}
			g := generator(t, r)
			const span = 500 * time.Millisecond
			ctx, cancel := context.WithTimeout(context.Background(), span)
			defer cancel()
			if err := r.Client.Do(func() error { return g.Run(ctx, rate) }); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // ksoftirqd may still hold a poll's worth
			var a rig.Account
			if err := r.Wires(&a); err != nil {
				t.Fatal(err)
			}
			sent, _, err := g.Sent()
			if err != nil {
				t.Fatal(err)
			}
			c, err := sink.Counts()
			if err != nil {
				t.Fatal(err)
			}
			// The sink drops by its XDP verdict on cli0 itself, which the account
			// of a whole rig would call lost there.
			if got := c.Frames + a.Overrun; sent == 0 || got != sent || c.BadIP+c.BadL4+c.Unexpected != 0 {
				t.Errorf("sent %d, sink %+v, account %+v", sent, c, a)
			}
			if want := c.Frames/1024 + 2; c.Verified == 0 || c.Verified > want {
				t.Errorf("%d of %d frames were verified", c.Verified, c.Frames)
			}
			if want := rate * span.Seconds(); rate > 0 && (float64(sent) < 0.5*want || float64(sent) > 1.1*want+64) {
				t.Errorf("sent %d frames at a rate of %.0f/s, want about %.0f", sent, rate, want)
			}
		})
	}
}

// TestSilent: nothing crosses the pairs but the test's frames.
func TestSilent(t *testing.T) {
	r := newRig(t)
	time.Sleep(200 * time.Millisecond)
	for _, name := range []string{rig.CliIf, rig.SrvIf} {
		err := r.Node.Do(func() error {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if s := l.Attrs().Statistics; s.RxPackets+s.TxPackets != 0 {
				t.Errorf("%s has received %d and sent %d packets unasked", name, s.RxPackets, s.TxPackets)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMissing(t *testing.T) {
	a := rig.Account{Sent: 100, Overrun: 1, RxDropped: 20, Inside: 3, TxDropped: 4, Received: 72}
	if m := a.Missing(); m != 0 {
		t.Errorf("%d frames are missing in %+v", m, a)
	}
	a.Received--
	if m := a.Missing(); m != 1 {
		t.Errorf("%d frames are missing in %+v, want 1", m, a)
	}
	if d := a.Minus(a); d != (rig.Account{}) {
		t.Errorf("an account minus itself is %+v", d)
	}
}
